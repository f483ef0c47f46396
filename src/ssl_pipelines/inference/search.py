"""search: the images whose embeddings have the largest cosine with a query's. Exact: every row is compared, block by block.

Memory is one block; time is linear in the rows, about 15 s of one core for a million of 512 numbers, and hardly more for a hundred queries
than for one. Beyond some ten millions an approximate index (HNSW: Malkov & Yashunin 2018, arXiv:1603.09320) would be due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_pipelines.algorithms.cosines import cosine
from ssl_pipelines.algorithms.neighbors import nearest
from ssl_pipelines.inference.embeddings import Embeddings
from ssl_pipelines.inference.encoder import Vectors

EQUAL = 1e-6  # how far from 1 the cosine of an image with itself may be


@dataclass(frozen=True, slots=True)
class Query:
    """An image that was looked for: what it is called, its vector's place among the usable ones or None, why not, and its pixels' sha256."""

    path: str
    place: int | None
    error: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A neighbor. `same`: it shows the encoder what the query shows it, pixel for pixel."""

    row: int
    path: str
    similarity: float
    same: bool


def find(index: Embeddings, queries: Sequence[Query], vectors: Vectors, k: int) -> list[list[Found]]:
    """For each query at most k neighbors, the most similar first, of equal ones the earlier row; none for a query without a vector."""
    rows, similarity = nearest_rows(index, vectors, k)
    known = index.rows(rows.reshape(-1))
    return [[] if query.place is None else _found(query, rows[query.place], similarity[query.place], known) for query in queries]


def nearest_rows(index: Embeddings, vectors: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(Q, k') rows and cosines, k' = min(k, rows with an embedding).   vectors: (Q, D)"""
    rows, similarity = np.empty((len(vectors), 0), np.int64), np.empty((len(vectors), 0))
    queries = torch.from_numpy(vectors)
    for block in index.blocks():
        if not len(block.rows):
            continue
        bank = torch.from_numpy(block.vectors)
        places = nearest(bank, queries, min(k, len(bank)))  # (Q, k'')
        width = places.shape[1]
        cosines = cosine(queries.repeat_interleave(width, 0), bank[places.reshape(-1)]).reshape(-1, width).clamp(-1, 1).numpy()
        rows = np.concatenate([rows, block.rows[places.numpy()]], axis=1)
        similarity = np.concatenate([similarity, cosines], axis=1)
        best = np.lexsort((rows, -similarity), axis=1)[:, :k]
        rows, similarity = np.take_along_axis(rows, best, 1), np.take_along_axis(similarity, best, 1)
    return rows, similarity


def _found(query: Query, rows: NDArray[np.int64], similarity: NDArray[np.float64], known: dict) -> list[Found]:
    found = []
    for row, value in zip(rows.tolist(), similarity.tolist(), strict=True):
        sha256 = known[row]["sha256"]
        same = sha256 == query.sha256 if sha256 is not None else value >= 1 - EQUAL
        found.append(Found(row, known[row]["path"], value, same))
    return found
