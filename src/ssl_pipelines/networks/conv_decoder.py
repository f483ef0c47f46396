"""Decoders from a feature map, or from a code vector, to an image."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.norm import BatchNorm

WIDEST = 8  # times the width of the last layer
CODE_SIDE = 4  # a code is first laid out on a map of at most so many places a side


def sides(start: int, image_size: int) -> list[int]:
    """The sides of the maps after `start`, each about twice the one before, up to the image's: 4, 32 -> [8, 16, 32].

    Counted from the image down, as strided convolutions round: 2, 28 -> [4, 7, 14, 28]."""
    found = []
    while image_size > start:
        found.append(image_size)
        image_size = -(-image_size // 2)
    return found[::-1]


class ConvDecoder(nn.Module):
    """map (B, D, h, h) -> (B, C, S, S), not squashed.

    Nearest-neighbor upsampling and a 3x3 convolution a doubling, which leaves no checkerboard (Odena et al. 2016) and serves every size;
    batch norm and ReLU as in Radford et al. 2016 (DCGAN), arXiv:1511.06434. `width` channels at the image's own side, twice as many
    at half of it, and so on up to 8 times."""

    def __init__(self, dim: int, side: int, image_size: int, out_channels: int, width: int):
        super().__init__()
        self.sides = sides(side, image_size)
        widths = [width * min(WIDEST, 2**k) for k in range(len(self.sides) + 1)][::-1]
        self.first = _layer(dim, widths[0])
        self.layers = nn.ModuleList(_layer(into, out) for into, out in pairwise(widths))
        self.head = nn.Conv2d(width, out_channels, 3, 1, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # as the ResNets, and for the same speed

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for layer, side in zip(self.layers, self.sides, strict=True):
            x = layer(F.interpolate(x, size=(side, side), mode="nearest"))
        out: Tensor = self.head(x)
        return out


class CodeDecoder(nn.Module):
    """code (B, K) -> (B, C, S, S): a linear layer to a small map, then the above."""

    def __init__(self, code_dim: int, image_size: int, out_channels: int, width: int):
        super().__init__()
        self.side = image_size
        while self.side > CODE_SIDE:
            self.side = -(-self.side // 2)
        self.dim = width * min(WIDEST, 2 ** len(sides(self.side, image_size)))
        self.spread = nn.Sequential(nn.Linear(code_dim, self.dim * self.side**2), nn.ReLU(inplace=True))
        self.decoder = ConvDecoder(self.dim, self.side, image_size, out_channels, width)

    def forward(self, code: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.spread(code).view(-1, self.dim, self.side, self.side))
        return out


def _layer(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(into, out, 3, 1, 1, bias=False), BatchNorm(out), nn.ReLU(inplace=True))
