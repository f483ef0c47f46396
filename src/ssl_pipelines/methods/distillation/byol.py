"""BYOL: the online network predicts what a slowly following target network says of another view. Grill et al., NeurIPS 2020, arXiv:2006.07733.

Differs: the target starts equal to the online network (the authors start it elsewhere and saw no difference) and follows from momentum
0.97, the authors' for their shortest training: 0.996 assumes hundreds of thousands of steps. Heads are four times as wide as the
encoder, not 4096. No blur at 32 px. SGD with a decay of 1e-4, where batches of 4096 take LARS with 1.5e-6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ssl_pipelines.losses.negative_cosine import negative_cosine
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.momentum import cosine_momentum, follow, frozen_copy
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import BYOL_FIRST, BYOL_SECOND, ViewPlan, bicubic, view_pair


class BYOL(Method):
    class Config(MethodConfig):
        name: Literal["byol"] = "byol"
        views: ViewPlan = bicubic(view_pair(BYOL_FIRST, BYOL_SECOND))
        momentum: float = Field(default=0.97, ge=0, le=1)
        """Share of the target network's weights that is kept at each step at first; it rises to 1 by a cosine. Raise it, to the
        paper's 0.996, for long runs."""
        hidden_dim: int = Field(default=1024, ge=2, le=8192)
        """Width of the hidden layers of projector and predictor. The paper takes 4096."""
        projection_dim: int = Field(default=256, ge=2, le=8192)
        """Width of the projections that are predicted. The paper takes 256."""

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.2, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        hidden, d = config.hidden_dim, config.projection_dim
        self.projector = mlp([self.encoder.dim, hidden, d], last_norm=False, last_bias=False)
        self.predictor = mlp([d, hidden, d], last_norm=False, last_bias=False)
        self.target_encoder, self.target_projector = frozen_copy(self.encoder), frozen_copy(self.projector)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["first"][0], batch.views["second"][0]  # each (B, C, H, W)
        p1, p2 = (self.predictor(self.projector(self.encoder(x))) for x in (x1, x2))  # (B, D)
        with torch.no_grad():
            z1, z2 = (self.target_projector(self.target_encoder(x)) for x in (x1, x2))  # (B, D)
        # |p - z|^2 of unit rows is 2 - 2 cos (eq. 2), of both directions
        return Output(4 + 2 * (negative_cosine(p1, z2) + negative_cosine(p2, z1)))

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        follow(self.followers(), cosine_momentum(self.config.momentum, clock.fraction))

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.target_encoder, self.encoder), (self.target_projector, self.projector)]
