"""The interface of networks that read an image pixel by pixel: a parallel pass for training, row after row for drawing samples."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ssl_pipelines.networks.encoder import Encoder


class PixelNet(Encoder):
    """What its maps hold at a place depends on the pixels before it in raster order, and on its own as far as the output allows.

    What is evaluated is the mean over places; by default of the middle layer, where likelihood models keep what an image shows
    (Chen et al. 2020, iGPT)."""

    depth: int
    out_dim: int  # channels of what the output reads

    def __init__(self, in_channels: int, dim: int):
        super().__init__(in_channels, dim)
        self.set_statistics([0.5] * in_channels, [0.5] * in_channels)  # [0, 1] to [-1, 1]

    @abstractmethod
    def hidden(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [0, 1] -> after each layer (B, D, H, W)."""

    @abstractmethod
    def output(self, images: Tensor) -> Tensor:
        """-> (B, out_dim, H, W), from which pixel (i, j) is predicted at (i, j)."""

    @abstractmethod
    def above(self, images: Tensor, i: int, memory: Any) -> Any:
        """Features of the rows above row i, which it is predicted from. `memory`: the same of row i - 1, None for row 0; rows from
        i on are not read."""

    @abstractmethod
    def row(self, images: Tensor, i: int, memory: Any) -> Tensor:
        """-> (B, out_dim, 1, W): row i of `output`, by what `above` has left for it."""

    @property
    def middle(self) -> int:
        return (self.depth - 1) // 2

    def map(self, images: Tensor) -> Tensor:
        return self.hidden(images)[self.middle]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {f"layer{k}": x.mean((2, 3)) for k, x in enumerate(self.hidden(images), start=1)}


def gate(x: Tensor) -> Tensor:
    """(B, 2 D, ...) -> (B, D, ...): tanh of the first half times the sigmoid of the second."""
    signal, opening = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(opening)
