"""The file of embeddings: Parquet, one row an image, written as images come and read block by block.

Columns: path; embedding, a fixed-size list of float32; error, null unless there is no embedding (it is NaN then: Arrow cannot read a
fixed-size list that is null); sha256 of the pixels that the encoder was given. What made them stands in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.inference.encoder import Vectors

KEY = b"ssl_pipelines"
SCHEMA_VERSION = 1
BLOCK_BYTES = 64 << 20  # of vectors that are in memory at a time, when reading


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows that have an embedding: their numbers in the file (n,), and vectors (n, D)."""

    rows: NDArray[np.int64]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A file of embeddings. `about` is empty where another program wrote it."""

    file: Path
    about: Mapping[str, Any]
    dim: int
    count: int  # rows, with an embedding or without
    columns: tuple[str, ...]

    @staticmethod
    def open(key: str, file: Path) -> Embeddings:
        """Raises InputError, beginning with `key`, where the file is none of embeddings."""
        found = Embeddings.found(file)
        if found is None:
            raise InputError(f"{key} is no file of embeddings: a .parquet file with the columns path and embedding is expected")
        return found

    @staticmethod
    def found(file: Path) -> Embeddings | None:
        """None where there is no file, or one of another kind."""
        try:
            with pq.ParquetFile(file) as opened:
                schema, count = opened.schema_arrow, opened.metadata.num_rows
                if not ({"path", "embedding"} <= set(schema.names) and _is_vector(schema.field("embedding").type)):
                    return None
                dim = _dim(opened, schema.field("embedding").type)
        except (OSError, pa.ArrowException):
            return None
        return Embeddings(file, _about(schema.metadata or {}), dim, count, tuple(schema.names))

    @property
    def usable(self) -> int:
        """Rows that have an embedding, if the file says which have none."""
        return (
            self.count
            if "error" not in self.columns
            else sum(batch.column(0).null_count for batch in self._batches(65_536, ["error"]))
        )

    def blocks(self) -> Iterator[Block]:
        """All rows that have an embedding. Raises InputError for values that are not finite, or lists of different lengths."""
        size, first = max(1, BLOCK_BYTES // (4 * max(1, self.dim))), 0
        names = [name for name in ("embedding", "error") if name in self.columns]
        for batch in self._batches(size, names):
            column = batch.column("embedding")
            usable = column.is_valid() if "error" not in names else pc.and_(column.is_valid(), batch.column("error").is_null())
            lists = column.filter(usable)
            if (pc.list_value_length(lists).to_numpy(zero_copy_only=False) != self.dim).any():
                raise InputError(f"{self.file}: embeddings of different lengths; {self.dim} numbers each are expected")
            vectors = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, self.dim)
            if not np.isfinite(vectors).all():
                raise InputError(f"{self.file} holds values that are not finite; the encoder diverged, or the file is damaged")
            yield Block(first + np.flatnonzero(usable.to_numpy(zero_copy_only=False)), vectors)
            first += batch.num_rows

    def rows(self, wanted: NDArray[np.int64]) -> dict[int, dict[str, Any]]:
        """row -> path, sha256 (None where the file has none), for the rows that are wanted."""
        names = [name for name in ("path", "sha256") if name in self.columns]
        left, first, found = np.unique(wanted), 0, {}
        for batch in self._batches(65_536, names):
            here = left[(left >= first) & (left < first + batch.num_rows)]
            for row, values in zip(here.tolist(), batch.take(pa.array(here - first)).to_pylist(), strict=True):
                found[row] = {"sha256": None} | values
            first += batch.num_rows
        return found

    def _batches(self, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(self.file) as opened:
                yield from opened.iter_batches(rows, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.file} cannot be read ({error})") from None


def schema_of(dim: int, about: Mapping[str, Any]) -> pa.Schema:
    columns = [("path", pa.string()), ("embedding", pa.list_(pa.float32(), dim)), ("error", pa.string()), ("sha256", pa.string())]
    return pa.schema(columns, metadata={KEY: json.dumps({"schema_version": SCHEMA_VERSION, **about}, sort_keys=True).encode()})


def as_table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> pa.Table:
    """rows: path, status, reason, sha256 each; vectors (usable, D) of those whose status is ok, in order."""
    usable = np.array([row["status"] == "ok" for row in rows])
    values = np.full((len(rows), vectors.shape[1]), np.nan, np.float32)
    values[usable] = vectors
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), vectors.shape[1])
    text = {
        name: pa.array([row[of] for row in rows], pa.string())
        for name, of in (("path", "path"), ("error", "reason"), ("sha256", "sha256"))
    }
    return pa.Table.from_arrays([text["path"], lists, text["error"], text["sha256"]], schema=schema)


def _is_vector(kind: pa.DataType) -> bool:
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))


def _dim(opened: pq.ParquetFile, kind: pa.DataType) -> int:
    """The length of the lists: their type's, or the first one's."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in opened.iter_batches(64, columns=["embedding"]):
        lengths = pc.list_value_length(batch.column(0).drop_null())
        if len(lengths):
            return int(lengths[0].as_py())
    return 0


def _about(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        about = json.loads(metadata.get(KEY, b"{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) and about.get("schema_version") == SCHEMA_VERSION else {}
