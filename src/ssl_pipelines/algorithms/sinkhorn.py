"""Sinkhorn-Knopp: assignments that use all prototypes alike."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean, gather_rows, world_size


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """(B, K) scores of this rank -> (B, K) soft codes, each row summing to 1, each column to B / K nearly (exactly as iterations grow).

    Rows and columns of exp(scores / epsilon) are scaled in turn, columns first, rows last, over the global batch; in float32, after
    the largest score of all was subtracted. Cuturi 2013; Caron et al. 2020 (SwAV), arXiv:2006.09882, section 3.1."""
    b, k = scores.shape[0] * world_size(), scores.shape[1]
    scores = scores.detach()
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    q = ((scores - gather_rows(scores.max().reshape(1)).max()) / epsilon).exp()
    for _ in range(iterations):
        q = q / (all_reduce_mean(q.sum(0)) * world_size()) / k  # columns sum to 1 / K
        q = q / q.sum(1, keepdim=True) / b  # rows sum to 1 / B
    return q * b
