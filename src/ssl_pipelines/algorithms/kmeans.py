"""Lloyd's k-means on the device that holds the rows, Euclidean or on the sphere, without empty clusters."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = 1 << 26  # distances held at a time
NUDGE = 1e-4  # relative, between the halves of a cluster that was split


def kmeans(x: Tensor, k: int, iterations: int, random: torch.Generator, *, spherical: bool = False) -> tuple[Tensor, Tensor]:
    """(N, D) -> centroids (K, D) and each row's nearest one (N,) int64. `random` is a CPU generator; 1 <= k <= N.

    Centroids start at K different rows. Lloyd 1982. `spherical`: rows and centroids are unit, nearest is the largest cosine.
    An empty cluster takes half of a random non-empty one, whose centroid both share but for a nudge (Caron et al. 2018, section 4)."""
    assert 1 <= k <= len(x), (k, len(x))
    x = F.normalize(x, dim=1) if spherical else x
    centroids = x[torch.randperm(len(x), generator=random)[:k].to(x.device)].clone()
    for _ in range(iterations):
        means, counts = _means(x, nearest_centroid(x, centroids), k)
        centroids = _repaired(means, counts, random)
        centroids = F.normalize(centroids, dim=1) if spherical else centroids
    return centroids, nearest_centroid(x, centroids)


def nearest_centroid(x: Tensor, centroids: Tensor) -> Tensor:
    """argmin_k |x - c_k|: (N, D), (K, D) -> (N,) int64. Equal distances: the lower index."""
    half_squares = centroids.square().sum(1) / 2
    step = max(1, CELLS // len(centroids))
    # An exported graph cannot loop over a number of rows that is not fixed.
    parts = [x] if torch.compiler.is_exporting() else x.split(step)
    return torch.cat([torch.addmm(half_squares, part, centroids.T, alpha=-1).argmin(1) for part in parts])


def _means(x: Tensor, assignment: Tensor, k: int) -> tuple[Tensor, Tensor]:
    counts = torch.bincount(assignment, minlength=k)  # (K,)
    sums = torch.zeros(k, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, assignment, x)
    return sums / counts.clamp(min=1).unsqueeze(1), counts


def _repaired(centroids: Tensor, counts: Tensor, random: torch.Generator) -> Tensor:
    for empty in (counts == 0).nonzero().flatten().tolist():
        donors = (counts > 1).nonzero().flatten()
        donor = int(donors[int(torch.randint(len(donors), (1,), generator=random))])
        nudge = 1 + NUDGE * (2 * torch.randint(0, 2, centroids.shape[1:], generator=random).to(centroids) - 1)
        centroids[empty], centroids[donor] = centroids[donor] * nudge, centroids[donor] / nudge
        counts[empty], counts[donor] = counts[donor] // 2, counts[donor] - counts[donor] // 2
    return centroids
