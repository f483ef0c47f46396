"""BEiT's loss: the cross entropy of the codes of hidden patches."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision


@full_precision
def masked_token_loss(logits: Tensor, tokens: Tensor, per_rank: Tensor) -> Tensor:
    """sum_m -log softmax(logits_m)[t_m] / M over the hidden patches alone.   logits (M', K), tokens (M',) int64 -> ().

    `per_rank` (): the mean over ranks of M', so that the mean over ranks is the mean over all hidden patches of the global batch, however
    they lie. Bao et al. 2022 (BEiT), arXiv:2106.08254, eq. 2, averaged as in the authors' code."""
    return F.cross_entropy(logits, tokens, reduction="sum") / per_rank


def mean_count(mask: Tensor) -> Tensor:
    """(B, T) bool -> (): hidden patches, mean over ranks."""
    count: Tensor = all_reduce_mean(mask.sum().float())
    return count
