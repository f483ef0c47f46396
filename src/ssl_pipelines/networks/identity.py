"""The image itself as an encoder: what stands in for one where a method brings its own network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ssl_pipelines.networks.encoder import Encoder


class Identity(Encoder):
    """(B, C, H, W) in [0, 1] -> the same, normalized. It tells the method how many channels there are, and their statistics."""

    def __init__(self, in_channels: int):
        super().__init__(in_channels, in_channels)

    def map(self, images: Tensor) -> Tensor:
        return self.normalize(images)

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {"pixels": self(images)}
