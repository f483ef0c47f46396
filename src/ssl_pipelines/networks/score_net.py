"""The maps to a common space in which dot products are scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_pipelines.networks.norm import BatchNorm


class ScoreNet(nn.Module):
    """(B, D, h, w) -> (B, U, h, w), every place for itself: 1x1 convolutions with a linear shortcut, then layer norm over U.

    The shortcut is nearly the identity at first. Hjelm et al. 2019 (DIM), arXiv:1808.06670, encode-and-dot."""

    def __init__(self, dim: int, units: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(dim, units, 1, bias=False), BatchNorm(units), nn.ReLU(inplace=True), nn.Conv2d(units, units, 1)
        )
        self.shortcut = nn.Conv2d(dim, units, 1, bias=False)
        self.norm = nn.LayerNorm(units)
        nn.init.uniform_(self.shortcut.weight, -0.01, 0.01)
        with torch.no_grad():
            for k in range(min(dim, units)):
                self.shortcut.weight[k, k] = 1

    def forward(self, x: Tensor) -> Tensor:
        x = self.branch(x) + self.shortcut(x)
        normed: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return normed
