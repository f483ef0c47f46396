"""VICReg's three terms: views agree, every channel keeps its variance, no two channels are correlated."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows
from ssl_pipelines.losses.precision import full_precision


@full_precision
def invariance(z1: Tensor, z2: Tensor) -> Tensor:
    """mean over rows and channels of (z1 - z2)^2.   (B, D), (B, D) -> ().

    Bardes et al. 2022, arXiv:2105.04906, eq. 5; the paper prints the sum over channels, the authors' code takes the mean."""
    return F.mse_loss(z1, z2)


@full_precision
def variance(z: Tensor, eps: float = 1e-4) -> Tensor:
    """mean_d max(0, 1 - sqrt(Var(z_d) + eps)), the unbiased variance over the rows of all ranks.   (B, D) -> ().   Eqs. 1 and 2."""
    return (1 - (gather_rows(z).var(0) + eps).sqrt()).relu().mean()


@full_precision
def covariance(z: Tensor) -> Tensor:
    """1/D sum_{i != j} Cov(z)_ij^2 over the rows of all ranks, by N - 1.   (B, D) -> ().   Eqs. 3 and 4."""
    rows = gather_rows(z)
    centered = rows - rows.mean(0)
    cov = centered.T @ centered / (len(rows) - 1)  # (D, D)
    return (cov.square().sum() - cov.diagonal().square().sum()) / z.shape[1]
