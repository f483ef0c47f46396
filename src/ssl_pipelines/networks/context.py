"""A network over a grid whose rows depend on themselves and on rows above alone."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class RowContext(nn.Module):
    """(B, D, H, W) -> (B, D, H, W): row r is made of rows 0 to r, whole; rows below are unseen.

    Residual blocks of a 1x3 and a 2x1 convolution (padded above alone) between two 1x1: the PixelCNN of van den Oord et al. 2018,
    arXiv:1807.03748, section 3.2, in the form of Hénaff et al. 2020, arXiv:1905.09272. A block sees one row more above."""

    def __init__(self, dim: int, hidden_dim: int, depth: int):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(dim, hidden_dim, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden_dim, hidden_dim, (1, 3), padding=(0, 1)),
                nn.ZeroPad2d((0, 0, 1, 0)),
                nn.Conv2d(hidden_dim, hidden_dim, (2, 1)),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden_dim, dim, 1),
            )
            for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        for block in self.blocks:
            z = z + block(z)
        return F.relu(z)
