"""PixContrast: a place of one crop is to find the same place of the photograph in another crop. Xie et al., CVPR 2021, arXiv:2011.10043.

Positives are places of the two maps whose centers in the image are near each other; all other places of the other map are
negatives, no other image is. Keys come from a momentum copy. form="propagation" is PixPro of the same paper: no negatives, but each
query is first smoothed over similar places of its own crop, which alone keeps it from collapse. Neither asks for features of the whole
image, so a linear probe of it is weak (55.1% on ImageNet); with instance_weight=1 an InfoNCE of pooled features stands beside it.
Differs: distances are in px of the image, so that photographs that are not square have no longer axis; images whose crops do not
overlap are left out of the mean, and their share is logged; crops of at least 30% of the area, no blur, no view solarized, a narrower
head, momentum and learning rate for a short run. The map is the coarsest of 4 x 4 places or more (backbone.output_stride): at 32 px the
small ResNet keeps 8 px a place, a map of 4 x 4; at 224 px it is the paper's 7 x 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.info_nce import in_batch_info_nce
from ssl_pipelines.losses.pixels import matching_places, pixel_agreement, pixel_contrast, propagated
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.momentum import cosine_momentum, follow, frozen_copy
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import BYOL_FIRST, ViewPlan, two_views

LEAST_SIDE = 4  # places
INSTANCE_TEMPERATURE = 0.2  # of the pooled features' InfoNCE, whose negatives are the batch's other images


class PixContrast(Method):
    class Config(MethodConfig):
        name: Literal["pix_contrast"] = "pix_contrast"
        views: ViewPlan = two_views(BYOL_FIRST.model_copy(update={"scale": (0.3, 1.0)}))
        form: Literal["contrast", "propagation"] = "contrast"
        """Loss: `contrast` is PixContrast, with other places as negatives; `propagation` is PixPro, without negatives."""
        distance_threshold: float = Field(default=0.7, gt=0, le=10)
        """Largest distance between two places that count as the same, in diagonals of a place of the map. The paper takes 0.7."""
        temperature: float = Field(default=0.3, gt=0, le=10)
        """Temperature of the scores, with form=contrast. The paper takes 0.3."""
        sharpness: float = Field(default=2.0, gt=0, le=10)
        """Power of the similarity by which places are smoothed, with form=propagation. The paper takes 2."""
        hidden_dim: int = Field(default=1024, ge=8, le=16384)
        """Width of the hidden layer of the projector. The paper takes 2048."""
        projection_dim: int = Field(default=256, ge=2, le=8192)
        """Width of the compared vectors of places. The paper takes 256."""
        instance_weight: float = Field(default=0.0, ge=0, le=100)
        """Weight of an InfoNCE of pooled features beside the places' loss. Set 1 where features of whole images are wanted, as for
        linear probes."""
        momentum: float = Field(default=0.99, ge=0, le=1)
        """Share of the momentum network's weights that is kept at each step at first; it rises to 1 by a cosine. The paper takes
        0.99."""

        @model_validator(mode="after")
        def _nothing_is_ignored(self) -> Self:
            for key, form in (("temperature", "contrast"), ("sharpness", "propagation")):
                if self.form != form and getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(
                        f"{key}={getattr(self, key)} is read by form={form}; with form={self.form} it would be ignored"
                    )
            return self

    config: Config
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=8),
        optimizer=OptimizerConfig(name="sgd", lr=0.2, weight_decay=1e-4),
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.side = self.encoder.map_side(parts.image_size)
        if self.side < LEAST_SIDE:
            raise InputError(
                f"method='pix_contrast' needs a map of {LEAST_SIDE}x{LEAST_SIDE} or more, views of {parts.image_size} px leave "
                f"{self.side}x{self.side}; give a smaller backbone.output_stride or a larger methods.pix_contrast.views.size"
            )
        channels, hidden, dim = self.encoder.dim, config.hidden_dim, config.projection_dim
        self.projector = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), BatchNorm(hidden), nn.ReLU(inplace=True), nn.Conv2d(hidden, dim, 1)
        )
        self.key_encoder, self.key_projector = frozen_copy(self.encoder), frozen_copy(self.projector)
        if config.instance_weight:
            self.instance_projector = mlp([channels, hidden, dim], last_norm=False)
            self.key_instance_projector = frozen_copy(self.instance_projector)
        if config.form == "propagation":
            self.transform = nn.Conv2d(dim, dim, 1)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["global"]
        first, second = batch.targets["global_box"]
        match = matching_places(first, second, self.side, self.config.distance_threshold)  # (B, T, T)
        maps = [self.encoder.map(x) for x in (x1, x2)]  # each (B, C, h, w)
        with torch.no_grad():
            key_maps = [self.key_encoder.map(x) for x in (x1, x2)]
            k1, k2 = (self.key_projector(m).flatten(2) for m in key_maps)
        q1, q2 = (self.projector(m) for m in maps)
        total = self.one_way(q1, k2, match) + self.one_way(q2, k1, match.transpose(1, 2))
        if self.config.instance_weight:
            total = total + self.config.instance_weight * self.instances(maps, key_maps)
        overlap = match.flatten(1).any(1).to(total).mean()
        return Output(total, metrics={"overlapping": overlap, "positives": match.to(total).sum((1, 2)).mean()})

    def one_way(self, queries: Tensor, keys: Tensor, match: Tensor) -> Tensor:
        """(B, D, h, w), (B, D, T), (B, T, T) -> ()."""
        if self.config.form == "contrast":
            return pixel_contrast(queries.flatten(2), keys, match, self.config.temperature)
        smoothed = propagated(queries.flatten(2), self.transform(queries).flatten(2), self.config.sharpness)
        return pixel_agreement(smoothed, keys, match)

    def instances(self, maps: list[Tensor], key_maps: list[Tensor]) -> Tensor:
        """Pooled queries against the other view's pooled keys, both directions."""
        with torch.no_grad():
            k1, k2 = (F.normalize(self.key_instance_projector(m.mean((2, 3))), dim=1) for m in key_maps)
        q1, q2 = (F.normalize(self.instance_projector(m.mean((2, 3))), dim=1) for m in maps)
        return in_batch_info_nce(q1, k2, INSTANCE_TEMPERATURE) + in_batch_info_nce(q2, k1, INSTANCE_TEMPERATURE)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        follow(self.followers(), cosine_momentum(self.config.momentum, clock.fraction))

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.key_encoder, self.encoder), (self.key_projector, self.projector)]
        return [*pairs, (self.key_instance_projector, self.instance_projector)] if self.config.instance_weight else pairs

    def project(self, images: Tensor) -> Tensor:
        """(B, D): the mean over the cells, which the loss compares one by one."""
        cells: Tensor = self.projector(self.encoder.map(images))
        return cells.mean((2, 3))
