"""Convolutions that keep the raster order of pixels, and the order of the colors within a pixel."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def color_of(channels: int, colors: int, repeats: int = 1) -> Tensor:
    """(channels,) the color 0 .. colors - 1 that each feature may know of: R, G, B in equal parts, in that order.

    `repeats`: the channels are so many blocks, each cut in this way (the gates of an LSTM)."""
    block = channels // repeats
    return (torch.arange(block) * colors // block).repeat(repeats)


class PixelConv2d(nn.Conv2d):
    """(B, I, H, W) -> (B, O, H, W). Place (i, j) sees `above` rows above, there `side` columns to both sides, `side` columns to the left
    in its own row, and of its own place the colors before its own ("A") or up to its own ("B"). Zeros come from outside.

    van den Oord et al. 2016, arXiv:1601.06759, section 3.4. `colors` = 1: its own place is hidden ("A") or seen ("B") whole.
    The mask acts in every forward pass, so no step of an optimizer can undo it."""

    mask: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kind: Literal["A", "B"],
        colors: int = 1,
        *,
        above: int = 0,
        side: int = 0,
        repeats: int = 1,
    ):
        super().__init__(in_channels, out_channels, (above + 1, 2 * side + 1 if above else side + 1))
        self.above, self.side = above, side
        given, made = color_of(in_channels, colors), color_of(out_channels, colors, repeats).unsqueeze(1)
        mask = torch.ones(self.weight.shape)
        mask[:, :, -1, side + 1 :] = 0
        mask[:, :, -1, side] = (given < made if kind == "A" else given <= made).float()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        right = self.side if self.above else 0
        return F.conv2d(F.pad(x, (self.side, right, self.above, 0)), self.weight * self.mask, self.bias)

    def row(self, x: Tensor, i: int) -> Tensor:
        """Row i alone: (B, I, H, W), whose rows up to i count -> (B, O, 1, W)."""
        return self(x[:, :, max(0, i - self.above) : i + 1])[:, :, -1:]
