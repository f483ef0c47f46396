"""Two dimensions of many: where the test images lie in the embedding."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.seeding import generator

PCA_DIM = 50  # before t-SNE: van der Maaten & Hinton 2008, section 4.2, takes 30
PERPLEXITY = 30.0


def sample(count: int, points: int, seed: int) -> NDArray:
    """Rows to show, seeded, ascending; all if they are few."""
    return np.sort(generator(seed, "report.map").choice(count, size=min(points, count), replace=False))


def place(features: NDArray, kind: Literal["tsne", "pca"], seed: int) -> NDArray:
    """(N, D) -> (N, 2), on L2-normalized features, as the neighbors are found; t-SNE after PCA. N >= 5."""
    from sklearn.decomposition import PCA  # a second, for this page alone
    from sklearn.manifold import TSNE

    rows = np.asarray(features, dtype=np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    dim = 2 if kind == "pca" else PCA_DIM
    state = int(generator(seed, "report.map.place").integers(2**31))
    reduced = PCA(
        min(dim, *rows.shape), svd_solver="full" if rows.shape[1] <= 1024 else "randomized", random_state=state
    ).fit_transform(rows)
    if kind == "pca":
        return np.asarray(reduced)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    # After PCA the columns are ordered by variance: the first two are the start, scaled as sklearn's init="pca" does it.
    start = (reduced[:, :2] / max(reduced[:, 0].std(), 1e-12) * 1e-4).astype(np.float32)
    tsne = TSNE(perplexity=perplexity, init=start, learning_rate="auto", random_state=state)
    return np.asarray(tsne.fit_transform(reduced))
