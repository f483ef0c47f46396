"""Directions on the sphere to which embeddings are assigned."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prototypes(nn.Module):
    """K unit rows; z (B, D) -> cosines (B, K). Caron et al. 2020 (SwAV), arXiv:2006.09882, section 3.1: a linear layer without bias.

    An optimizer's step takes the rows off the sphere; `renormalize`, after each step, puts them back."""

    def __init__(self, dim: int, count: int):
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(count, dim), dim=1))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(F.normalize(z, dim=1), self.weight)

    @torch.no_grad()
    def renormalize(self) -> None:
        self.weight.copy_(F.normalize(self.weight, dim=1))
