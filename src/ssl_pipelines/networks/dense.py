"""Fully connected encoder and decoder of whole images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ssl_pipelines.networks.encoder import Encoder


class DenseEncoder(Encoder):
    """images (B, C, S, S) -> (B, dims[-1]): all pixels through linear layers of `dims`, ReLU between them; the code is linear.

    Hinton & Salakhutdinov, Science 2006, in ReLUs and without layerwise pretraining."""

    pooling = "none"

    def __init__(self, in_channels: int, image_size: int, dims: Sequence[int]):
        super().__init__(in_channels, dims[-1])
        widths = [in_channels * image_size**2, *dims]
        self.layers = nn.ModuleList(nn.Linear(into, out) for into, out in pairwise(widths))

    def map(self, images: Tensor) -> Tensor:
        """-> (B, D, 1, 1)."""
        return self(images)[:, :, None, None]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        """hidden1, hidden2, ... and code."""
        x, found = self.normalize(images).flatten(1), {}
        for k, layer in enumerate(self.layers, start=1):
            last = k == len(self.layers)
            x = layer(x) if last else layer(x).relu()
            found["code" if last else f"hidden{k}"] = x
        return found

    def forward(self, images: Tensor) -> Tensor:
        return self.stages(images)["code"]


class DenseDecoder(nn.Module):
    """code (B, dims[0]) -> (B, C, S, S), not squashed: linear layers of `dims`, ReLU between them, and one to the pixels."""

    def __init__(self, dims: Sequence[int], image_size: int, out_channels: int):
        super().__init__()
        layers: list[nn.Module] = []
        for into, out in pairwise(dims):
            layers += [nn.Linear(into, out), nn.ReLU(inplace=True)]
        layers += [nn.Linear(dims[-1], out_channels * image_size**2), nn.Unflatten(1, (out_channels, image_size, image_size))]
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        out: Tensor = self.layers(code)
        return out
