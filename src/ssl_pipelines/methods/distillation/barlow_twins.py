"""Barlow Twins: the cross-correlation of two views' channels becomes the identity. Zbontar et al., ICML 2021, arXiv:2103.03230.

Differs: the projector is 1024 wide, four times the small encoder's output as 8192 is of ResNet-50's; lambda is the paper's at that.
No blur at 32 px. AdamW, to which the loss's growth with the width does not matter, where batches of 2048 take LARS.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_pipelines.losses.barlow import barlow
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import BYOL_FIRST, BYOL_SECOND, ViewPlan, bicubic, view_pair


class BarlowTwins(Method):
    class Config(MethodConfig):
        name: Literal["barlow_twins"] = "barlow_twins"
        views: ViewPlan = bicubic(view_pair(BYOL_FIRST, BYOL_SECOND))
        projection_dim: int = Field(default=1024, ge=2, le=16384)
        """Width of the projector. Wider is better in the paper, which takes 8192 for ResNet-50."""
        off_diagonal_weight: float = Field(default=0.0051, gt=0, le=10)
        """Weight lambda of the correlations between different channels. The paper takes 0.0051."""

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        d = config.projection_dim
        self.projector = mlp([self.encoder.dim, d, d, d], last_norm=False, last_bias=False)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["first"][0], batch.views["second"][0]  # each (B, C, H, W)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))  # (B, D)
        return Output(barlow(z1, z2, self.config.off_diagonal_weight))
