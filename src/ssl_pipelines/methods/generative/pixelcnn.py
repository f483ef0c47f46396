"""PixelCNN: each pixel is predicted from those before it, by masked convolutions. van den Oord et al., NeurIPS 2016, arXiv:1606.05328.

The gated form without a blind spot: a vertical stack reads the rows above, a horizontal one the row to the left, tanh times sigmoid in
both. A pixel's distribution is a softmax over 256 levels a channel, R before G before B, or (output="logistic_mixture") the discretized
logistic mixture of Salimans et al., ICLR 2017, arXiv:1701.05517. Its likelihood is exact: bits per dimension are a score.
What is evaluated is the mean over places of a layer's two stacks; by default of the middle one. The papers claim no representation.
Differs: 16 px and a small network, for a short run; no batch norm, as it would carry later pixels' statistics to earlier ones; the
mixture stands on this network, not on the larger one of Salimans et al.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_pipelines.methods.base import Parts
from ssl_pipelines.methods.likelihood import own_recipe
from ssl_pipelines.methods.pixel_model import PixelModel, PixelModelConfig
from ssl_pipelines.networks.gated_pixelcnn import GatedPixelCNN


class PixelCNN(PixelModel):
    class Config(PixelModelConfig):
        name: Literal["pixelcnn"] = "pixelcnn"
        width: int = Field(default=64, ge=8, le=1024)
        """Number of features of each of the two stacks."""
        depth: int = Field(default=5, ge=2, le=64)
        """Number of layers; the first has a kernel of 7, the others of 3. More see further."""

    config: Config
    recipe = own_recipe(2e-3, 32)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = GatedPixelCNN(self.channels, config.width, config.depth, self.colors)
        self.head = self.build_head(self.encoder.out_dim)
