"""The projection head of DINO."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DINOHead(nn.Module):
    """(B, D) -> logits (B, K): three linear layers with GELU, then cosines with K prototypes. No batch norm.

    Caron et al. 2021, arXiv:2104.14294, section 3.1. `last` is the weight-normalized layer with its norms fixed at 1."""

    def __init__(self, dim: int, hidden: int, bottleneck: int, prototypes: int):
        super().__init__()
        layers = [nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)]
        self.mlp = nn.Sequential(*layers)
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last = UnitLinear(bottleneck, prototypes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.normalize(self.mlp(x), dim=1))


class UnitLinear(nn.Module):
    """(B, D) -> (B, K) by the directions of K rows; their lengths do not count."""

    def __init__(self, dim: int, count: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, dim) / dim**0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.normalize(self.weight, dim=1))
