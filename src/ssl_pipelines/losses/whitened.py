"""Feature distillation: a student predicts a teacher's whitened features, cell by cell."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def whitened_smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    """mean of e^2 / (2 beta) where |e| <= beta, else |e| - beta / 2, e = p - LN(t).   p, t: (..., D) -> ().

    LN is a layer norm without scale and shift over the last axis, so the target has mean 0 and variance 1 in every cell, and the
    teacher's own scale does not matter. No gradient enters t. Wei et al. 2022, arXiv:2205.14141, eq. 1 and 2."""
    whitened = F.layer_norm(target.detach(), target.shape[-1:])
    return F.smooth_l1_loss(prediction, whitened.to(prediction.dtype), beta=beta)
