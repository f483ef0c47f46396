"""The projection head of DINO."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.norm import BatchNorm


class DINOHead(nn.Module):
    """(B, D) -> logits (B, K): three linear layers with GELU, then cosines with K prototypes.

    Caron et al. 2021, arXiv:2104.14294, section 3.1. `last` is the weight-normalized layer with its norms fixed at 1; `norm` puts batch
    norms before the GELUs, which the paper leaves out."""

    def __init__(self, dim: int, hidden: int, bottleneck: int, prototypes: int, *, norm: bool = False):
        super().__init__()
        layers: list[nn.Module] = []
        for into in (dim, hidden):
            layers += [nn.Linear(into, hidden, bias=not norm), *([BatchNorm(hidden)] if norm else []), nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
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
