"""embed: the embeddings of any images, from one pass over them in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ssl_pipelines.artifacts import InputError, new_file
from ssl_pipelines.data.decode import Pixels
from ssl_pipelines.data.decoding import DecodedChunk, decoded_chunks
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.inference.embeddings import as_table, schema_of
from ssl_pipelines.inference.encoder import ImageEncoder, Vectors
from ssl_pipelines.inference.sources import Images, Tables

GROUP_BYTES = 32 << 20  # bytes of vectors in a row group, which is held in memory until it is written

Row = dict[str, Any]


@dataclass
class Counts:
    images: int = 0  # rows written
    errors: Counter[str] = field(default_factory=Counter)  # reason -> rows without an embedding

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self.images += 1
            if row["reason"] is not None:
                self.errors[row["reason"]] += 1

    @property
    def usable(self) -> int:
        return self.images - self.errors.total()

    def frequent(self) -> str:
        return ", ".join(f"{reason} ({count:,})" for reason, count in self.errors.most_common(3))


def embedded(encoder: ImageEncoder, source: Images | Tables, batch_size: int, workers: int) -> Iterator[tuple[list[Row], Vectors]]:
    """Batches in the source's order: what is known of every image (path, status, reason, sha256), and vectors of the usable ones."""
    for rows, pixels in _batches(decoded_chunks(source, encoder.spec, workers), batch_size):
        yield rows, encoder.embed(pixels)


def write_embeddings(
    encoder: ImageEncoder, source: Images | Tables, about: Mapping[str, Any], batch_size: int, workers: int, out: Path, key: str
) -> Counts:
    """Writes `out`, whole or not at all: a row an image, unreadable ones with their error.   about: goes into the file's metadata.

    Raises InputError, one line that begins with `key`, where no image can be read."""
    schema, counts, limit = schema_of(encoder.dim, about), Counts(), max(1, GROUP_BYTES // (4 * encoder.dim))
    with (
        new_file(out) as partial,
        pq.ParquetWriter(partial, schema, use_dictionary=["error"]) as writer,
        progress("embed", source.total_files, "images") as advance,
    ):
        waiting: list[tuple[list[Row], Vectors]] = []
        for rows, vectors in embedded(encoder, source, batch_size, workers):
            waiting.append((rows, vectors))
            counts.add(rows)
            advance(len(rows))
            if sum(len(rows) for rows, _ in waiting) >= limit:
                writer.write_table(_joined(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(_joined(waiting, schema))
        if not counts.usable:
            raise InputError(f"{key}: no image there can be read: {counts.frequent()}")
    return counts


def _joined(parts: list[tuple[list[Row], Vectors]], schema: Any) -> Any:
    return as_table(schema, [row for rows, _ in parts for row in rows], np.concatenate([vectors for _, vectors in parts]))


def _batches(chunks: Iterable[DecodedChunk], size: int) -> Iterator[tuple[list[Row], Pixels]]:
    """Chunks (of at most CHUNK_ROWS rows) put together until they hold `size` rows or more."""
    waiting: list[DecodedChunk] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(len(one.rows) for one in waiting) >= size:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(chunks: list[DecodedChunk]) -> tuple[list[Row], Pixels]:
    return [row for chunk in chunks for row in chunk.rows], np.concatenate([chunk.pixels for chunk in chunks])
