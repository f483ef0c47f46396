"""NT-Xent: the normalized, temperature-scaled cross entropy over two views."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank, world_size

HALF = (torch.float16, torch.bfloat16)  # too coarse for a softmax over thousands of similarities


def nt_xent(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """mean_i -log exp(s_ij / t) / sum_{k != i} exp(s_ik / t), j the other view of i, s the cosine.   z1, z2: (B, D) -> ().

    The 2B rows of all ranks are each other's negatives; the similarity of a row with itself is left out.
    Chen et al. 2020, arXiv:2002.05709, eq. 1 and algorithm 1 (the mean over 2B; the authors' code returns twice that)."""
    z1, z2 = (F.normalize(z.float() if z.dtype in HALF else z, dim=1) for z in (z1, z2))
    keys = torch.cat([gather_rows(z1), gather_rows(z2)])  # (2N, D), N over all ranks
    queries = torch.cat([z1, z2])  # (2B, D)
    b, n = len(z1), len(z1) * world_size()
    row = torch.arange(b, device=z1.device) + rank() * b
    own, positive = torch.cat([row, row + n]), torch.cat([row + n, row])  # (2B,)
    logits = queries @ keys.T / temperature  # (2B, 2N)
    logits = logits.scatter(1, own.unsqueeze(1), float("-inf"))
    return F.cross_entropy(logits, positive)
