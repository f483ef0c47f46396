"""The gated PixelCNN: one stack reads the rows above, one its own row, and together they leave no pixel unseen."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.pixel_conv import PixelConv2d
from ssl_pipelines.networks.pixel_net import PixelNet, gate

FIRST, LATER = 3, 1  # rows above and columns to each side that a layer sees: kernels of 7 and of 3


class GatedLayer(nn.Module):
    """van den Oord et al. 2016, arXiv:1606.05328, figure 2. The vertical stack's row i is made of rows above i alone."""

    def __init__(self, into: int, dim: int, colors: int, *, first: bool):
        super().__init__()
        self.reach, self.first = FIRST if first else LATER, first
        rows = self.reach if first else self.reach + 1  # later ones may read their own row, which holds rows above already
        self.down = nn.Conv2d(into, 2 * dim, (rows, 2 * self.reach + 1))
        self.down_to_across = nn.Conv2d(2 * dim, 2 * dim, 1)
        self.across = PixelConv2d(into, 2 * dim, "A" if first else "B", colors, side=self.reach, repeats=2)
        self.out = PixelConv2d(dim, dim, "B", colors)

    def vertical(self, x: Tensor) -> Tensor:
        """(B, I, H, W) -> (B, 2 D, H, W), before the gate."""
        made: Tensor = self.down(F.pad(x, (self.reach, self.reach, self.reach, 0)))
        return made[:, :, :-1] if self.first else made

    def horizontal(self, x: Tensor, above: Tensor) -> Tensor:
        """(B, I, h, W), the vertical stack's (B, 2 D, h, W) -> (B, D, h, W); each row by itself."""
        made: Tensor = self.out(gate(self.across(x) + self.down_to_across(above)))
        return made if self.first else x + made


class GatedPixelCNN(PixelNet):
    """`colors`: 3 where the channels of an RGB pixel are predicted one after another, by features that know of part of them each.

    A layer's features are those of both stacks side by side, so `dim` is twice `width`."""

    def __init__(self, in_channels: int, width: int, depth: int, colors: int):
        super().__init__(in_channels, 2 * width)
        self.depth, self.out_dim = depth, width
        self.layers = nn.ModuleList(GatedLayer(width if k else in_channels, width, colors, first=k == 0) for k in range(depth))

    def verticals(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [-1, 1] -> each layer's (B, 2 width, H, W) before the gate."""
        found: list[Tensor] = []
        for layer in self.layers:
            found.append(layer.vertical(gate(found[-1]) if found else x))  # type: ignore[operator]
        return found

    def horizontals(self, x: Tensor, above: list[Tensor]) -> list[Tensor]:
        """(B, C, h, W), what `verticals` gave for these rows -> each layer's (B, width, h, W)."""
        found: list[Tensor] = []
        for layer, rows in zip(self.layers, above, strict=True):
            found.append(layer.horizontal(found[-1] if found else x, rows))  # type: ignore[operator]
        return found

    def hidden(self, images: Tensor) -> list[Tensor]:
        x = self.normalize(images)
        above = self.verticals(x)
        across = self.horizontals(x, above)
        return [torch.cat([gate(v), h], dim=1) for v, h in zip(above, across, strict=True)]

    def output(self, images: Tensor) -> Tensor:
        x = self.normalize(images)
        return self.horizontals(x, self.verticals(x))[-1]

    def above(self, images: Tensor, i: int, memory: Any) -> list[Tensor]:
        return [rows[:, :, i : i + 1] for rows in self.verticals(self.normalize(images[:, :, : i + 1]))]

    def row(self, images: Tensor, i: int, memory: Any) -> Tensor:
        return self.horizontals(self.normalize(images[:, :, i : i + 1]), memory)[-1]
