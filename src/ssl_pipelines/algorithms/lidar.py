"""The rank that is left when the views of one image are one class: directions in which only views differ do not count."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def lidar(views: Tensor, delta: float = 1e-4, epsilon: float = 1e-8) -> float:
    """LiDAR: exp(-sum_k p_k log p_k), p_k = (lambda_k + eps) / sum_j (lambda_j + eps).   (n images, q views each, D) -> [1, D].

    lambda: eigenvalues of Sw^-1/2 Sb Sw^-1/2, Sb the covariance of the images' means (over n - 1), Sw that of the views about their
    image's mean (over n (q - 1)) + delta I. At most n - 1 of them are above 0. Thilak et al. 2024, arXiv:2312.04000, section 4.
    They are found as those of L^-1 Sb L^-T, Sw = L L^T, which are the same. Not finite: nan.
    Differs: 0 where all lambda together are below D eps, for there p depends on eps alone and would make a collapsed embedding look
    full."""
    z = views.detach().to("cpu", torch.float64)
    n, q, d = z.shape
    assert n >= 2, n
    assert q >= 2, q
    if not z.isfinite().all():
        return math.nan
    means = z.mean(1)  # (n, D)
    within = (z - means.unsqueeze(1)).flatten(0, 1)
    sw = within.T @ within / (n * (q - 1)) + delta * torch.eye(d, dtype=z.dtype)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(sw), (means - means.mean(0)).T, upper=False)  # (D, n)
    eigenvalues = torch.linalg.svdvals(whitened).square() / (n - 1)
    if eigenvalues.sum() <= d * epsilon:
        return 0.0
    p = F.pad(eigenvalues, (0, d - len(eigenvalues))) + epsilon
    p = p / p.sum()
    return float((-(p * p.log()).sum()).exp())
