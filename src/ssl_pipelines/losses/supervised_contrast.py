"""Contrast with several positives: all rows of one's own group."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank
from ssl_pipelines.losses.precision import full_precision


@full_precision
def supervised_contrast(z: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """mean_i -1/|P(i)| sum_{p in P(i)} log( exp(z_i z_p / t) / sum_{j != i} exp(z_i z_j / t) ), P(i) the other rows of i's group.

    (B, D) of any length, (B,) int64 -> (); j over the rows of all ranks, each of whose groups has two rows or more.
    Khosla et al. 2020, arXiv:2004.11362, eq. 2; as the clustering loss of Chen et al. 2021, arXiv:2104.00323."""
    z = F.normalize(z, dim=1)
    own = torch.arange(len(z), device=z.device).unsqueeze(1) + rank() * len(z)  # (B, 1), the row's own column
    logits = (z @ gather_rows(z).T / temperature).scatter(1, own, float("-inf"))  # (B, W B)
    positive = (groups.unsqueeze(1) == gather_rows(groups)).scatter(1, own, False)
    log_p = logits - logits.logsumexp(1, keepdim=True)
    return -(log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()
