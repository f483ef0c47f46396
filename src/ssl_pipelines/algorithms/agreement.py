"""How far features agree with labels: by the neighbors of every image, and by clusters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.algorithms.kmeans import kmeans
from ssl_pipelines.algorithms.neighbors import nearest

ITERATIONS = 30  # of k-means


def neighbor_purity(x: Tensor, labels: Tensor, k: int) -> Tensor:
    """The share of each row's k nearest others, by cosine, that have its label.   (n, D), (n,) -> (n,) float64; 1 <= k < n.

    Its mean is the neighborhood hit of Paulovich et al. 2008, "Least square projection", IEEE TVCG 14(3)."""
    found = nearest(x, x, k + 1)  # itself among them, but for rows that have many equals
    itself = found == torch.arange(len(x)).unsqueeze(1)
    others = found.gather(1, itself.int().argsort(dim=1, stable=True)[:, :k])
    return (labels[others] == labels.unsqueeze(1)).double().mean(1)


def clusters(x: Tensor, k: int, restarts: int, random: torch.Generator) -> Tensor:
    """(n, D) -> (n,) int64: spherical k-means, of `restarts` the one whose rows have the largest mean cosine with their centroid."""
    best, assignment = -torch.inf, torch.zeros(len(x), dtype=torch.int64)
    for _ in range(restarts):
        centroids, found = kmeans(x, k, ITERATIONS, random, spherical=True)
        cosine = float(F.cosine_similarity(x, centroids[found], dim=1).mean())
        if cosine > best:
            best, assignment = cosine, found
    return assignment
