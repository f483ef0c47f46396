"""Split-brain: one half predicts color from lightness, the other lightness from color. Zhang et al., CVPR 2017, arXiv:1611.09842.

Two networks that share nothing, each with half the channels of every layer: L -> 313 bins of a b, a b -> 50 bins of L, by plain cross
entropy at every place. What is evaluated is both, side by side, stage by stage: as wide as one whole encoder that has seen all of the image.
Differs: the halves are of any of our encoders; at 32 px they keep 8 px a place (backbone.output_stride) and a transposed convolution
doubles that, so that 8 x 8 places are predicted, each by the mean L a b of its pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.methods.towers import TowersMethod
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.dense_head import DenseHead, Upsampling
from ssl_pipelines.views.ab_bins import NUM_LIGHTNESS_BINS, ab_bins, annealed_mean, lightness_bins, soft_codes
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.lab import rgb_to_lab
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view
from ssl_pipelines.views.rgb_of_lab import lab_to_rgb


class SplitBrain(TowersMethod):
    class Config(MethodConfig):
        name: Literal["split_brain"] = "split_brain"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.3, 1.0), flip=0.5))
        upsampling: Upsampling = 2
        """Number of predicted places along a side for each place of the halves' last maps. Raise it for finer predictions."""
        hidden_dim: int = Field(default=64, ge=8, le=4096)
        """Number of channels of the layers between a half's map and its predictions."""

    config: Config
    compares_within_batch = False
    judged_at = "best"
    heads: Sequence[DenseHead]
    bins: Tensor
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=8),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=1e-3),
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.register_buffer("bins", ab_bins().clone())  # (Q, 2)
        of_lightness, of_color = (parts.build_encoder(channels=channels, width=0.5) for channels in (1, 2))
        of_lightness.set_statistics([50.0], [25.0])
        of_color.set_statistics([0.0, 0.0], [20.0, 20.0])
        self.towers = nn.ModuleList([of_lightness, of_color])  # type: ignore[assignment]
        classes = (len(self.bins), NUM_LIGHTNESS_BINS)
        self.heads = nn.ModuleList(  # type: ignore[assignment]
            DenseHead(half, parts.image_size, config.hidden_dim, count, config.upsampling)
            for half, count in zip(self.towers, classes, strict=True)
        )

    def split(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> lightness (B, 1, H, W) and a b (B, 2, H, W)."""
        lightness, ab = rgb_to_lab(images).split([1, 2], dim=1)
        return lightness, ab

    def loss(self, batch: Batch, clock: Clock) -> Output:
        seen = self.split(batch.views["global"][0])
        to_color, to_lightness = self.predict(seen)
        lightness, ab = (F.adaptive_avg_pool2d(x, to_color.shape[-1]) for x in seen)
        color = soft_codes(ab, self.bins, 1, 1.0)[0][:, 0]  # (B, h, w), the nearest bin
        color_loss = F.cross_entropy(to_color, color)
        lightness_loss = F.cross_entropy(to_lightness, lightness_bins(lightness[:, 0]))
        # Neither loss reaches the other's network, so no weight stands between them.
        return Output(color_loss + lightness_loss, {"color": color_loss.detach(), "lightness": lightness_loss.detach()})

    def predict(self, seen: Sequence[Tensor]) -> list[Tensor]:
        """Lightness and color of the images -> logits of color (B, 313, h, w) and of lightness (B, 50, h, w)."""
        return [head(half.map(x)) for head, half, x in zip(self.heads, self.towers, seen, strict=True)]

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (lightness, colors predicted for it, color, lightness predicted for it, original)."""
        images = batch.views["global"][0][:8]
        lightness, ab = seen = self.split(images)
        to_color, to_lightness = self.predict(seen)
        levels = torch.arange(NUM_LIGHTNESS_BINS, device=images.device).unsqueeze(1) * 2.0 + 1  # the middles of the bins
        color = F.interpolate(annealed_mean(to_color, self.bins, 1.0), images.shape[2:], mode="bilinear")
        level = F.interpolate(annealed_mean(to_lightness, levels, 1.0), images.shape[2:], mode="bilinear")
        gray, middle = torch.zeros_like(ab), torch.full_like(lightness, 50.0)
        columns = [(lightness, gray), (lightness, color), (middle, ab), (level, gray)]
        shown = [lab_to_rgb(torch.cat(column, dim=1)) for column in columns]
        return {"cross_channel": torch.stack([*shown, images], dim=1).flatten(0, 1)}
