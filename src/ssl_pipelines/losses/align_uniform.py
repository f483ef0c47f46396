"""Alignment and uniformity on the sphere: both a loss and a diagnosis of any embedding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank
from ssl_pipelines.losses.precision import full_precision


@full_precision
def alignment(z1: Tensor, z2: Tensor, alpha: float = 2.0) -> Tensor:
    """mean_i |z1_i - z2_i|^alpha of unit rows.   (B, D), (B, D) -> () in [0, 2^alpha].

    Wang & Isola 2020, arXiv:2005.10242, section 4.1."""
    squared = (F.normalize(z1, dim=1) - F.normalize(z2, dim=1)).square().sum(1)
    least = torch.finfo(squared.dtype).tiny  # alpha below 2 has an infinite slope at 0
    return squared.clamp(min=least).pow(alpha / 2).mean()


@full_precision
def uniformity(z: Tensor, t: float = 2.0) -> Tensor:
    """log mean_{i != j} exp(-t |z_i - z_j|^2) of the unit rows of all ranks.   (B, D) -> () in [-4 t, 0]; 0 where all are the same.

    Pairs of a row with itself are left out. Wang & Isola 2020, arXiv:2005.10242, section 4.1."""
    z = F.normalize(z, dim=1)
    keys = gather_rows(z)  # (N, D)
    row = torch.arange(len(z), device=z.device) + rank() * len(z)
    logits = (t * (2 * z @ keys.T - 2)).scatter(1, row.unsqueeze(1), -torch.inf)  # (B, N)
    here = logits.flatten().logsumexp(0)
    return gather_rows(here.unsqueeze(0)).logsumexp(0) - math.log(len(keys) * (len(keys) - 1))


def align_uniform(z1: Tensor, z2: Tensor, alpha: float, t: float, align_weight: float, uniform_weight: float) -> Tensor:
    """align_weight * alignment + uniform_weight * the mean uniformity of the two views.   (B, D), (B, D) -> ()."""
    return align_weight * alignment(z1, z2, alpha) + uniform_weight * (uniformity(z1, t) + uniformity(z2, t)) / 2
