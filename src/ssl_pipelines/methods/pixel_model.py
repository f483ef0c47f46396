"""What PixelCNN and PixelRNN share: two ways to say a pixel's distribution, its likelihood, and drawing images pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.losses.logistic_mixture import draw_logistic_mixture, logistic_mixture_log_prob, mixture_channels
from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.likelihood import LevelsConfig, LikelihoodMethod, from_levels, to_levels
from ssl_pipelines.networks.pixel_conv import PixelConv2d
from ssl_pipelines.networks.pixel_net import PixelNet
from ssl_pipelines.views.batch import Batch

SHOWN = 8  # images


class PixelModelConfig(LevelsConfig):
    output: Literal["softmax", "logistic_mixture"] = "softmax"
    """Distribution of a pixel: a softmax over the levels of each channel in turn, or a mixture of discretized logistics, which is
    cheaper for many levels."""
    components: int = Field(default=10, ge=1, le=64)
    """Number of components of the mixture, with output=logistic_mixture."""
    head_dim: int = Field(default=64, ge=8, le=4096)
    """Width of the layer between the network and the numbers of a pixel's distribution."""

    @model_validator(mode="after")
    def _components_are_used(self) -> Self:
        if self.output == "softmax" and self.components != type(self).model_fields["components"].default:
            raise ValueError(f"components={self.components} is the mixture's; with output=softmax it would be ignored")
        return self


class PixelModel(LikelihoodMethod):
    """p(image) is the product over pixels in raster order of p(pixel | those before).

    "softmax": the channels one after another, each a choice among all levels (van den Oord et al. 2016, arXiv:1601.06759, section 3.3).
    "logistic_mixture": a pixel at once, its colors linked by linear means (Salimans et al. 2017, arXiv:1701.05517)."""

    config: PixelModelConfig
    encoder: PixelNet
    head: nn.Sequential

    def __init__(self, config: PixelModelConfig, parts: Parts):
        super().__init__(config, parts)
        self.colors = self.channels if config.output == "softmax" else 1  # number of color groups that features are divided into

    def build_head(self, dim: int) -> nn.Sequential:
        """From the network's last map to the numbers of each pixel's distribution."""
        mixture = mixture_channels(self.channels, self.config.components)
        out = mixture if self.config.output == "logistic_mixture" else self.channels * self.config.levels
        first, last = (PixelConv2d(a, b, "B", self.colors) for a, b in ((dim, self.config.head_dim), (self.config.head_dim, out)))
        return nn.Sequential(nn.ReLU(), first, nn.ReLU(), last)

    def pixels(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> int64 in [0, levels)."""
        return to_levels(images, self.config.levels)

    def log_prob(self, pixels: Tensor, numbers: Tensor) -> Tensor:
        """Pixels (B, C, H, W) int64, the head's numbers (B, P, H, W) -> log p of the images in nats, (B,)."""
        if self.config.output == "logistic_mixture":
            return logistic_mixture_log_prob(numbers, pixels, self.config.levels).flatten(1).sum(1)
        logits = numbers.unflatten(1, (self.channels, self.config.levels)).transpose(1, 2)  # (B, levels, C, H, W)
        return -F.cross_entropy(logits, pixels, reduction="none").flatten(1).sum(1)

    def log_likelihood(self, images: Tensor) -> Tensor:
        pixels = self.pixels(images)
        return self.log_prob(pixels, self.head(self.encoder.output(self.shown(pixels, images))))

    def shown(self, pixels: Tensor, like: Tensor) -> Tensor:
        """Levels as the network sees them, in [0, 1]."""
        return from_levels(pixels, self.config.levels, like)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]
        nats = -self.log_likelihood(images).mean() / images[0].numel()  # a channel of a pixel
        return Output(nats, metrics={"bits_per_dim": nats.detach() / math.log(2)})

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.encoder(self.shown(self.pixels(images), images)) if stage in (None, "final") else self.stages(images)[stage]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return self.encoder.stages(self.shown(self.pixels(images), images))

    def symbols(self, images: Tensor) -> Tensor:
        return self.pixels(images).flatten(2)

    @property
    def num_symbols(self) -> int:
        return self.config.levels

    def coded(self) -> str:
        return f"a channel of a pixel, {self.config.levels} levels, {self.image_size} px"

    @torch.no_grad()
    def sample(self, pixels: Tensor, first_row: int = 0) -> Tensor:
        """Draws the rows from `first_row` on, given those above: levels (n, C, H, W) -> the same, completed."""
        pixels, memory = pixels.clone(), None
        like = next(self.parameters())
        for i in range(pixels.shape[2]):
            memory = self.encoder.above(self.shown(pixels, like), i, memory)
            for j in range(pixels.shape[3] if i >= first_row else 0):
                for visit in range(self.colors):
                    row = self.encoder.row(self.shown(pixels, like), i, memory)
                    numbers = self.head(row[..., j : j + 1]).flatten(1)  # (n, P)
                    self.draw(pixels[:, :, i, j], numbers, visit)
        return pixels

    def draw(self, pixel: Tensor, numbers: Tensor, visit: int) -> None:
        """Writes what is drawn into `pixel` (n, C): all of it, or with a softmax the channel `visit`."""
        if self.config.output == "logistic_mixture":
            pixel.copy_(draw_logistic_mixture(numbers, self.channels, self.config.levels))
        else:
            logits = numbers.unflatten(1, (self.channels, self.config.levels))[:, visit]
            pixel[:, visit] = torch.distributions.Categorical(logits=logits).sample()

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Drawn images; rows of (upper half, what the model makes of it, original)."""
        images = batch.views["global"][0][:SHOWN]
        pixels, half = self.pixels(images), images.shape[2] // 2
        upper = images.clone()
        upper[:, :, half:] = 0.5
        completed = self.shown(self.sample(pixels, half), images)
        drawn = self.sample(torch.zeros_like(pixels))
        return {
            "samples": self.shown(drawn, images),
            "completions": torch.stack([upper, completed, self.shown(pixels, images)], dim=1).flatten(0, 1),
        }
