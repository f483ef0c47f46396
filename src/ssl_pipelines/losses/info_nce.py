"""InfoNCE: the cross entropy of telling the positive from the other candidates."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank
from ssl_pipelines.losses.precision import full_precision


@full_precision
def info_nce(positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """mean_b -log exp(p_b / t) / (exp(p_b / t) + sum_m exp(n_bm / t)): scores (B,) and (B, M) -> ().

    van den Oord et al. 2018, arXiv:1807.03748, eq. 4; He et al. 2020 (MoCo), arXiv:1911.05722, eq. 1, where the scores are cosines."""
    logits = torch.cat([positive.unsqueeze(1), negatives], 1) / temperature  # (B, 1 + M)
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))


@full_precision
def in_batch_info_nce(queries: Tensor, keys: Tensor, temperature: float | Tensor) -> Tensor:
    """mean_b -log exp(<q_b, k_b> / t) / sum_j exp(<q_b, k_j> / t), j over the keys of all ranks.   unit rows (B, D), (B, D) -> ().

    One direction; MoCo v3 sums both, CLIP averages them."""
    logits = queries @ gather_rows(keys).T / temperature  # (B, W B)
    row = torch.arange(len(queries), device=queries.device) + rank() * len(queries)
    return F.cross_entropy(logits, row)


@full_precision
def symmetric_info_nce(z1: Tensor, z2: Tensor, temperature: float | Tensor) -> Tensor:
    """The mean of both directions between two views, each row against the N rows of the other view.   (B, D), (B, D) -> ().

    With a temperature that is learnt this is CLIP's loss."""
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    return (in_batch_info_nce(z1, z2, temperature) + in_batch_info_nce(z2, z1, temperature)) / 2
