"""NT-Xent: the normalized, temperature-scaled cross entropy over two views."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.pairs import pairs
from ssl_pipelines.losses.precision import full_precision


@full_precision
def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """mean_i -log exp(s_ij / t) / sum_{k != i} exp(s_ik / t), j the other view of i, s the cosine.   z1, z2: (B, D) -> ().

    The 2B rows of all ranks are each other's negatives; the similarity of a row with itself is left out.
    Chen et al. 2020, arXiv:2002.05709, eq. 1 and algorithm 1 (the mean over 2B; the authors' code returns twice that)."""
    p = pairs(z1, z2)
    logits = (p.similarity / temperature).scatter(1, p.own.unsqueeze(1), float("-inf"))
    return F.cross_entropy(logits, p.positive)
