"""kNN: 50,000 features in the bank, 512 dimensions, k = 200, against scikit-learn and faiss, all exact, each in a process of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from benchmarks.measure import Bar, Row, apart, row, turns

BARS = {"knn_sklearn": Bar("knn_sklearn", 3.0), "knn_faiss": Bar("knn_faiss", 2.0)}
BANK, DIM, K = 50_000, 512, 200
KERNEL = "OPENBLAS_CORETYPE"
Search = Callable[[], NDArray[np.int64]]


@cache
def search_by(name: str, num_queries: int) -> Search:
    """() -> (Q, K), with all that can be done once behind it."""
    random = np.random.default_rng(0)
    centers = random.normal(size=(100, DIM)).astype(np.float32)

    def features(count: int) -> NDArray[np.float32]:
        x = centers[random.integers(0, 100, count)] + random.normal(size=(count, DIM)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    bank, queries = features(BANK), features(num_queries)
    if name == "ours":
        from ssl_pipelines.algorithms.neighbors import nearest

        return lambda: nearest(torch.from_numpy(bank), torch.from_numpy(queries), K).numpy()
    if name == "sklearn":
        from sklearn.neighbors import NearestNeighbors

        brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine", n_jobs=-1).fit(bank)
        return lambda: brute.kneighbors(queries, return_distance=False)
    import faiss

    index = faiss.IndexFlatIP(DIM)
    index.add(bank)
    return lambda: index.search(queries, K)[1]


def searched(name: str, num_queries: int) -> tuple[float, NDArray[np.int64]]:
    """(queries a second, what was found)"""
    search = search_by(name, num_queries)
    began = time.perf_counter()
    found = search()
    return num_queries / (time.perf_counter() - began), found


@contextmanager
def kernel(name: str | None) -> Iterator[None]:
    """What processes started within are told to use. faiss carries an OpenBLAS of 2021, which takes a newer processor for an old one."""
    former = os.environ.get(KERNEL)
    os.environ |= {KERNEL: name} if name else {}
    try:
        yield
    finally:
        os.environ.pop(KERNEL, None)
        os.environ |= {KERNEL: former} if former else {}


def best_kernel() -> str | None:
    """What numpy's newer OpenBLAS chose here, by a name that the old one knows."""
    found = next((library.get("architecture") for library in threadpool_info() if library["internal_api"] == "openblas"), None)
    return {"Cooperlake": "SkylakeX", "SapphireRapids": "SkylakeX"}.get(found, found)


def run(quick: bool) -> list[Row]:
    num_queries = 4_096 if quick else 10_000
    neighbors: dict[str, NDArray[np.int64]] = {}
    with ExitStack() as stack:

        def place(name: str, work: str) -> Callable[[], float]:
            call = stack.enter_context(apart(searched, work, num_queries))

            def one() -> float:
                found, neighbors[name] = call()
                return found

            return one

        works = {name: place(name, name) for name in ("ours", "sklearn")} | {"as installed": place("as installed", "faiss")}
        with kernel(best_kernel()):
            works["faiss"] = place("faiss", "faiss")
        rates = turns(works)
    rows = []
    for peer in ("sklearn", "faiss"):
        same = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(neighbors["ours"], neighbors[peer], strict=True)])
        assert same > 0.999, f"{peer} finds other neighbors: {same:.4f} in common"
        detail = f"bank {BANK:,}, {num_queries:,} queries; {same:.2%} of neighbors in common"
        if peer == "faiss":
            detail += f"; told to use {best_kernel()} kernels, {median(rates['as installed']):,.0f} queries/s as installed"
        rows.append(row(BARS[f"knn_{peer}"], rates["ours"], rates[peer], detail, "queries/s"))
    return rows
