"""From chunks of raw images to decoded ones, in parallel, in order, in bounded memory."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.decode import DecodeSpec, Pixels, Unusable, decode
from ssl_pipelines.data.readers.base import Chunk, RawImage, Reader
from ssl_pipelines.data.saliency import FIELDS

CHUNK_BYTES = 8 << 20  # of decoded pixels in one chunk
CHUNK_ROWS = 64  # small enough that workers end together
ROUND_BYTES = 128 << 20  # of decoded pixels that may wait for the disk: workers wait for each other where a round ends
CHUNKS_AHEAD = 4  # for each worker, at least
# Number of workers up to which threads are used: they start at once and copy no pixels, but share one lock for a sixth of the work.
THREADS_UP_TO = 4


@dataclass(frozen=True, slots=True)
class DecodedChunk:
    """rows: one dict an image (the manifest's columns, split and label as the source gives them); pixels of the usable ones."""

    rows: list[dict[str, Any]]
    pixels: Pixels  # (usable, S, S, C)
    sums: NDArray[np.int64]  # (usable, 2, C): of the pixels and of their squares, exact
    fields: dict[str, Pixels]  # name -> (usable, S, S)


def decoded_chunks(reader: Reader, spec: DecodeSpec, workers: int) -> Iterator[DecodedChunk]:
    """In the reader's order, whatever the number of workers."""
    rows = max(1, min(CHUNK_ROWS, CHUNK_BYTES // spec.image_bytes))
    chunks = iter(reader.chunks(rows))
    if workers == 1 or not reader.parallel or reader.total_files <= rows:
        yield from (decode_chunk(chunk, spec) for chunk in chunks)
        return
    # joblib goes on dispatching while its consumer waits for the disk, so that finished chunks would pile up: hence in rounds.
    window_size = max(CHUNKS_AHEAD * workers, ROUND_BYTES // (rows * spec.image_bytes))
    prefer = "threads" if workers <= THREADS_UP_TO else "processes"
    with joblib.Parallel(workers, prefer=prefer, return_as="generator", pre_dispatch="2*n_jobs", batch_size=1) as parallel:
        while window := list(itertools.islice(chunks, window_size)):
            yield from parallel(joblib.delayed(decode_chunk)(chunk, spec) for chunk in window)


def decode_chunk(chunk: Chunk, spec: DecodeSpec) -> DecodedChunk:
    logging.getLogger("PIL").setLevel(logging.ERROR)
    rows, images = [], []
    for raw in chunk.read():
        row, pixels = _decode_image(raw, spec)
        rows.append(row)
        if pixels is not None:
            images.append(pixels)
    shape = (len(images), spec.size, spec.size, spec.channels)
    fields = {name: np.array([FIELDS[name](image) for image in images], np.uint8).reshape(shape[:3]) for name in spec.fields}
    return DecodedChunk(rows, np.stack(images) if images else np.empty(shape, np.uint8), _sums(images, spec.channels), fields)


def _decode_image(raw: RawImage, spec: DecodeSpec) -> tuple[dict[str, Any], Pixels | None]:
    row = {"path": _printable(raw.path), "split": raw.split, "label": raw.label, "status": "ok", "reason": None, "sha256": None}
    try:
        if isinstance(raw.content, Unusable):
            raise raw.content
        pixels, info = decode(raw.content, spec)
    except Unusable as refused:
        return row | {"status": "unusable", "reason": refused.reason, **(refused.info or {})}, None
    return row | {"sha256": hashlib.sha256(pixels.tobytes()).hexdigest(), **info}, pixels


def _sums(images: Iterable[Pixels], channels: int) -> NDArray[np.int64]:
    sums = [_plane_sums(np.ascontiguousarray(image.reshape(-1, channels).T)) for image in images]
    return np.array(sums, dtype=np.int64).reshape(-1, 2, channels)


def _plane_sums(planes: Pixels) -> tuple[NDArray[np.int64], list[int]]:
    """Products in float64 are exact below 2**53, which a billion pixels do not reach; integer ones are fifteen times as slow."""
    return planes.sum(1, dtype=np.int64), [int(plane @ plane) for plane in planes.astype(np.float64)]


def _printable(path: str) -> str:
    """File names that are not UTF-8 are written with backslashes."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
