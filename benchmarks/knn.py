"""kNN: 50,000 features in the bank, 10,000 queries, 512 dimensions, k = 200, against scikit-learn and faiss, all exact."""

from __future__ import annotations

import faiss
import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from benchmarks.measure import Bar, Row, rate, row, turns
from ssl_pipelines.algorithms.neighbors import nearest

BARS = {"knn_sklearn": Bar("knn_sklearn", 3.0), "knn_faiss": Bar("knn_faiss", 2.0)}
DIM, K = 512, 200


def run(quick: bool) -> list[Row]:
    bank_size, num_queries = (50_000, 1_024 if quick else 10_000)
    random = np.random.default_rng(0)
    centers = random.normal(size=(100, DIM)).astype(np.float32)

    def features(count: int) -> np.ndarray:
        x = centers[random.integers(0, 100, count)] + random.normal(size=(count, DIM)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    bank, queries = features(bank_size), features(num_queries)
    bank_, queries_ = torch.from_numpy(bank), torch.from_numpy(queries)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = nearest(bank_, queries_, K).numpy()

    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine", n_jobs=-1).fit(bank)
    index = faiss.IndexFlatIP(DIM)
    index.add(bank)

    def by_sklearn() -> None:
        found["sklearn"] = brute.kneighbors(queries, return_distance=False)

    def by_faiss() -> None:
        found["faiss"] = index.search(queries, K)[1]

    works = {"ours": ours, "sklearn": by_sklearn, "faiss": by_faiss}
    rates = turns({name: rate(work, num_queries) for name, work in works.items()})
    rows = []
    for peer in ("sklearn", "faiss"):
        same = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found["ours"], found[peer], strict=True)])
        assert same > 0.999, f"{peer} finds other neighbors: {same:.4f} in common"
        detail = f"bank {bank_size:,}, {num_queries:,} queries; {same:.2%} of neighbors in common"
        rows.append(row(BARS[f"knn_{peer}"], rates["ours"], rates[peer], detail, "queries/s"))
    return rows
