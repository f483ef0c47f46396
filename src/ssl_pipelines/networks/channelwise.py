"""A layer that carries information across the places of each map, and of no other."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ChannelwiseLinear(nn.Module):
    """(B, C, h, h) -> (B, C, h, h): every place of a map from all places of the same map, one h^2 x h^2 matrix a channel.

    C h^4 weights where a full layer has C^2 h^4. Pathak et al. 2016, arXiv:1604.07379, section 3.1."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        places = side * side
        self.weight = nn.Parameter(torch.empty(channels, places, places))  # (C, out, in)
        self.bias = nn.Parameter(torch.zeros(channels, places))
        nn.init.uniform_(self.weight, -1 / math.sqrt(places), 1 / math.sqrt(places))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.einsum("coi,bci->bco", self.weight, x.flatten(2)) + self.bias
        return out.view_as(x)
