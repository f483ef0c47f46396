"""Barlow Twins' loss: the cross-correlation of two views becomes the identity."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision

EPS = 1e-5  # of the variance, as batch norm's


@full_precision
def barlow(z1: Tensor, z2: Tensor, off_diagonal_weight: float) -> Tensor:
    """sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2,  C = cross_correlation(z1, z2).   (B, D), (B, D) -> ().

    Sums, so it grows with D. Zbontar et al. 2021, arXiv:2103.03230, eq. 1."""
    c = cross_correlation(z1, z2)
    diagonal = c.diagonal()
    return (1 - diagonal).square().sum() + off_diagonal_weight * (c.square().sum() - diagonal.square().sum())


def cross_correlation(z1: Tensor, z2: Tensor) -> Tensor:
    """Correlation of every channel of z1 with every one of z2 over the rows of all ranks.   (B, D), (B, D) -> (D, D) in [-1, 1].

    Eq. 2. Variances are biased, so that C_ii of equal views is 1; a channel without any variance correlates with nothing."""
    return all_reduce_mean(_standardized(z1).T @ _standardized(z2) / len(z1))


def _standardized(z: Tensor) -> Tensor:
    centered = z - all_reduce_mean(z.mean(0))
    return centered * torch.rsqrt(all_reduce_mean(centered.square().mean(0)) + EPS)
