"""Retrieval: the images that the trained features hold to be nearest to a test image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.seeding import generator
from ssl_pipelines.reporting.inputs import Features

BLOCK = 16_384  # rows compared at a time


@dataclass(frozen=True, slots=True)
class Retrieval:
    query_split: str
    bank_split: str
    queries: NDArray  # (Q,) ids
    neighbors: NDArray  # (Q, k) ids, nearest first
    cosines: NDArray  # (Q, k)


def retrieve(features: Features, labels: Callable[[NDArray], NDArray], num_queries: int, k: int, seed: int) -> Retrieval | None:
    """Test images against train; without those splits, images of one split against the others of it. None: too few images.

    labels: ids -> labels, -1 for none."""
    splits = features.splits()
    query_split = next((split for split in ("test", "validation", "unlabeled", "train") if split in splits), None)
    if query_split is None:
        return None
    bank_split = "train" if "train" in splits else query_split
    (bank, bank_ids), (pool, pool_ids) = features.read(bank_split), features.read(query_split)
    k = min(k, len(bank) - (bank_split == query_split))
    if k < 1 or not len(pool):
        return None
    rows = choose(labels(pool_ids), num_queries, seed)
    own = pool_ids[rows] if bank_split == query_split else np.full(len(rows), -1)
    cosines, found = nearest(bank, bank_ids, np.asarray(pool[rows]), own, k)
    return Retrieval(query_split, bank_split, pool_ids[rows], found, cosines)


def choose(labels: NDArray, count: int, seed: int) -> NDArray:
    """Rows of `count` images, seeded, class after class, so that no class is shown twice before each was shown once."""
    order = generator(seed, "report.neighbors").permutation(len(labels))
    turn = np.zeros(len(labels), dtype=int)  # the how-manieth of its class, in the shuffled order
    for label in np.unique(labels):
        turn[labels[order] == label] = np.arange((labels == label).sum())
    ranked = order[np.argsort(turn, kind="stable")]
    return np.sort(ranked[:count])


def nearest(bank: NDArray, bank_ids: NDArray, queries: NDArray, own: NDArray, k: int) -> tuple[NDArray, NDArray]:
    """(Q, k) cosines, best first, and the ids there.   bank: (N, D), read in blocks; own: (Q,) ids that a query must not find."""
    unit = _unit(queries)
    cosines, ids = np.empty((len(queries), 0)), np.empty((len(queries), 0), dtype=np.int64)
    for start in range(0, len(bank), BLOCK):
        block_ids = bank_ids[start : start + BLOCK]
        block = unit @ _unit(bank[start : start + BLOCK]).T
        block[own[:, None] == block_ids[None, :]] = -np.inf
        cosines = np.concatenate([cosines, block], axis=1)
        ids = np.concatenate([ids, np.broadcast_to(block_ids, block.shape)], axis=1)
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        cosines, ids = np.take_along_axis(cosines, best, 1), np.take_along_axis(ids, best, 1)
    return cosines, ids


def _unit(rows: NDArray) -> NDArray:
    values: NDArray = np.asarray(rows, dtype=np.float64)
    unit: NDArray = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return unit
