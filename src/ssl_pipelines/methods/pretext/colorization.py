"""Colorization: from the lightness of an image, the distribution of each place's color. Zhang et al., ECCV 2016, arXiv:1603.08511.

The a b plane is cut into the 313 bins of sRGB; a color is a soft code over the nearest of them (5; the authors' code takes 10), and
places of rare colors weigh more (eq. 2 to 4). Pictures show the annealed mean of what is predicted (eq. 5). What is evaluated sees
lightness alone. Images without any color are left out of the loss, as in the authors' code: its mean is over those counted in the
global batch, or in each micro-batch where gradients are accumulated.
Differs: the encoder is any of ours, with one transposed convolution behind it as in the paper; at 32 px it keeps 8 px a place
(backbone.output_stride) and 8 x 8 places are colored, each by the mean a b of its pixels. The prior is that of up to 2,048 images; the
uniform part of the weights is over all Q bins, where the authors' code has it over those that occur. The learning rate is 1e-3 for a
short run (3e-5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_pipelines.losses.color_classes import color_loss, rebalancing_weights
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.dense_head import DenseHead, Upsampling
from ssl_pipelines.views.ab_bins import ab_bins, annealed_mean, smoothed_prior, soft_codes
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.lab import rgb_to_lab
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view
from ssl_pipelines.views.rgb_of_lab import lab_to_rgb

AT_ONCE = 256  # images whose colors are counted


class Colorization(Method):
    class Config(MethodConfig):
        name: Literal["colorization"] = "colorization"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.3, 1.0), flip=0.5))
        upsampling: Upsampling = 2
        """Number of colored places along a side for each place of the encoder's last map. Raise it for finer colors."""
        hidden_dim: int = Field(default=128, ge=8, le=4096)
        """Number of channels of the layers between the map and the colors."""
        neighbors: int = Field(default=5, ge=1, le=313)
        """Number of nearest bins that a color is spread over in the target. The paper takes 5, the authors' code 10."""
        sigma: float = Field(default=5.0, gt=0, le=100)
        """Standard deviation of that spread, and of the smoothing of the colors' frequencies, in units of a and b. The paper takes
        5."""
        prior_mix: float = Field(default=0.5, gt=0, le=1)
        """Share lambda of the uniform distribution in the weights that favor rare colors; 1 weighs all alike. The paper takes
        0.5."""
        gray_threshold: float = Field(default=5.0, ge=0, le=100)
        """Smallest |a| or |b| that some pixel must exceed for an image to count. Raise it where faint tints are noise."""
        temperature: float = Field(default=0.38, gt=0, le=1)
        """Temperature of the mean color that pictures show; training does not read it. The paper takes 0.38."""

    config: Config
    needs = ("rgb",)
    compares_within_batch = False
    judged_at = "best"
    bins: Tensor
    class_weights: Tensor
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=8),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-3),
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder(channels=1)
        self.encoder.set_statistics([50.0], [25.0])
        self.register_buffer("bins", ab_bins().clone())  # (Q, 2)
        self.register_buffer("class_weights", torch.ones(len(self.bins)))  # until colors are counted
        self.head = DenseHead(self.encoder, parts.image_size, config.hidden_dim, len(self.bins), config.upsampling)

    def prepare(self, images: Tensor) -> None:
        counts = torch.zeros(len(self.bins), dtype=torch.float64)
        for part in images.split(AT_ONCE):
            ab = F.adaptive_avg_pool2d(rgb_to_lab(part.permute(0, 3, 1, 2).float() / 255)[:, 1:], self.head.side)
            counts += soft_codes(ab, self.bins, 1, self.config.sigma)[0].flatten().bincount(minlength=len(self.bins))
        prior = smoothed_prior(counts, self.bins.double(), self.config.sigma)
        self.class_weights.copy_(rebalancing_weights(prior, self.config.prior_mix))

    def loss(self, batch: Batch, clock: Clock) -> Output:
        lightness, ab = rgb_to_lab(batch.views["global"][0]).split([1, 2], dim=1)
        logits = self.head(self.encoder.map(lightness))  # (B, Q, h, w)
        target = F.adaptive_avg_pool2d(ab, logits.shape[-1])
        bins, codes = soft_codes(target, self.bins, self.config.neighbors, self.config.sigma)
        counted = (ab.abs() > self.config.gray_threshold).flatten(1).any(1)  # (B,)
        loss = color_loss(logits, bins, codes, self.class_weights, counted)
        hits = (logits.argmax(1) == bins[:, 0]).float().mean()
        return Output(loss, metrics={"accuracy": hits, "colorful": counted.float().mean()})

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.encoder(rgb_to_lab(images)[:, :1]) if stage in (None, "final") else self.stages(images)[stage]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return self.encoder.stages(rgb_to_lab(images)[:, :1])

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (lightness, colors predicted for it, original)."""
        images = batch.views["global"][0][:8]
        lightness = rgb_to_lab(images)[:, :1]
        ab = annealed_mean(self.head(self.encoder.map(lightness)), self.bins, self.config.temperature)
        ab = F.interpolate(ab, images.shape[2:], mode="bilinear")
        gray, colored = (lab_to_rgb(torch.cat([lightness, color], dim=1)) for color in (torch.zeros_like(ab), ab))
        return {"colorizations": torch.stack([gray, colored, images], dim=1).flatten(0, 1)}
