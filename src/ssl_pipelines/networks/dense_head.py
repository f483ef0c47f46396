"""A classifier for every place of a map, finer than the map by a power of two."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.norm import BatchNorm

Upsampling = Literal[1, 2, 4, 8]


class DenseHead(nn.Sequential):
    """The last map of `encoder` (B, D, h, w) -> (B, classes, u h, u w): u = `upsampling` doublings, each a transposed convolution of
    `hidden` channels with batch norm and ReLU, then 1x1. `side` is u h. Raises InputError where that is more than the image has."""

    def __init__(self, encoder: Encoder, image_size: int, hidden: int, classes: int, upsampling: Upsampling):
        with torch.no_grad():
            probe = torch.zeros(1, encoder.in_channels, image_size, image_size)
            _, channels, side, _ = encoder.eval().map(probe).shape
            encoder.train()
        if side * upsampling > image_size:
            found = f"upsampling={upsampling} of a map of {side}x{side}"
            raise InputError(f"{found} is finer than the {image_size} px of a view; allowed are {upsampling // 2 or 1} and less")
        layers: list[nn.Module] = []
        for _ in range(upsampling.bit_length() - 1):
            layers += [nn.ConvTranspose2d(channels, hidden, 4, 2, 1, bias=False), BatchNorm(hidden), nn.ReLU(inplace=True)]
            channels = hidden
        super().__init__(*layers, nn.Conv2d(channels, classes, 1))
        self.side = side * upsampling
