"""Principal components, each scaled to variance 1."""

from __future__ import annotations

import torch
from torch import Tensor


def whiten(x: Tensor, dim: int, epsilon: float = 1e-6) -> Tensor:
    """(N, D) -> (N, min(dim, D)): centered, projected on the leading components, divided by the root of their variances.

    `epsilon`, relative to the largest variance, is added to each: directions without variance stay small instead of becoming noise."""
    centered = (x - x.mean(0)).double()
    variances, directions = torch.linalg.eigh(centered.T @ centered / max(1, len(x) - 1))  # ascending
    variances, directions = variances.flip(0)[:dim].clamp(min=0), directions.flip(1)[:, :dim]
    scales = (variances + epsilon * variances[0]).clamp(min=torch.finfo(torch.float64).tiny).sqrt()  # equal rows become zeros
    return (centered @ (directions / scales)).to(x.dtype)
