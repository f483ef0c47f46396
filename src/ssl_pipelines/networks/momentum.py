"""Networks that are not trained but follow others: momentum encoders, teachers, targets."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def frozen_copy(module: M) -> M:
    """The same weights in a module of its own, which no gradient reaches and no optimizer steps."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def follow(pairs: Iterable[tuple[nn.Module, nn.Module]], momentum: float) -> None:
    """copy <- momentum copy + (1 - momentum) original, for pairs (copy, original). Parameters alone: batch norms keep their own statistics.

    He et al. 2020 (MoCo), arXiv:1911.05722, eq. 2. One call for all tensors."""
    both = [
        (mine, theirs)
        for copied, original in pairs
        for mine, theirs in zip(copied.parameters(), original.parameters(), strict=True)
    ]
    if both:
        torch._foreach_lerp_([mine for mine, _ in both], [theirs for _, theirs in both], 1 - momentum)


def cosine_momentum(start: float, fraction: float) -> float:
    """1 - (1 - start) (cos(pi fraction) + 1) / 2: from `start` to 1 over the training. Grill et al. 2020 (BYOL), arXiv:2006.07733."""
    return 1 - (1 - start) * (math.cos(math.pi * fraction) + 1) / 2
