"""PixelRNN: each pixel is predicted from those before it, by LSTMs over the image. van den Oord et al., ICML 2016, arXiv:1601.06759.

Row LSTM: rows from top to bottom, a triangle of context above each pixel, by design. Diagonal BiLSTM: diagonals from both upper corners,
the whole context. A softmax over 256 levels a channel, R before G before B; the likelihood is exact: bits per dimension are a score.
What is evaluated is the mean over places of a layer; by default of the middle one. The paper claims no representation.
Differs: 16 px, 3 layers of 32 units and Adam, for a short run, where the paper has 12 layers of 128 and RMSProp at 32 px; diagonals cross
one column of zeros beyond the right border, without which a row's last pixel stays unseen by most of the row below; the mixture by option.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_pipelines.methods.base import Parts
from ssl_pipelines.methods.likelihood import own_recipe
from ssl_pipelines.methods.pixel_model import PixelModel, PixelModelConfig
from ssl_pipelines.networks.pixel_lstm import PixelLSTM


class PixelRNN(PixelModel):
    class Config(PixelModelConfig):
        name: Literal["pixelrnn"] = "pixelrnn"
        lstm: Literal["row", "diagonal"] = "diagonal"
        """Kind of layer: `row` sees a triangle above each pixel, `diagonal` all pixels before it and takes longer."""
        units: int = Field(default=32, ge=8, le=1024)
        """Number of units of each layer; features are twice as many."""
        depth: int = Field(default=3, ge=1, le=24)
        """Number of layers. The paper takes 12 at 32 px."""

    config: Config
    recipe = own_recipe(2e-3, 16)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = PixelLSTM(self.channels, config.units, config.depth, self.colors, config.lstm)
        self.head = self.build_head(self.encoder.out_dim)
