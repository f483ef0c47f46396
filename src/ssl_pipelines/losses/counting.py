"""Counting's loss: the counts of the whole image equal the sum of its tiles' counts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """(B, K), (B, K) -> (B,): |a - b|^2, summed over the vector."""
    return (a - b).square().sum(1)


@full_precision
def counting_loss(whole: Tensor, total: Tensor, other: Tensor, margin: float) -> Tensor:
    """mean_b |whole_b - total_b|^2 + max(0, margin - |other_b - total_b|^2).

    whole: counts of the shrunken image; total: of its tiles, summed; other: of another shrunken image; each (B, K) -> (), at least 0.
    Noroozi et al. 2017, arXiv:1708.06734, eq. 4. Nothing is detached."""
    return (squared_distance(whole, total) + F.relu(margin - squared_distance(other, total))).mean()
