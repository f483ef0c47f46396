"""VICReg: views agree, every channel keeps its variance, and no two channels covary. Bardes et al., ICLR 2022, arXiv:2105.04906.

Differs: the variance term is the mean of both views', as in the authors' code; the paper prints their sum (`variance_of: sum`). The
expander is 1024 wide, four times the small encoder's output as 8192 is of ResNet-50's. No blur at 32 px. AdamW, where batches of 2048
take LARS.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.losses.vicreg import covariance, invariance, variance
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import BYOL_FIRST, BYOL_SECOND, ViewPlan, bicubic, view_pair


class VICReg(Method):
    class Config(MethodConfig):
        name: Literal["vicreg"] = "vicreg"
        views: ViewPlan = bicubic(view_pair(BYOL_FIRST, BYOL_SECOND))
        projection_dim: int = Field(default=1024, ge=2, le=16384)
        """Width of the expander. Wider is better in the paper, which takes 8192 for ResNet-50."""
        invariance_weight: float = Field(default=25, ge=0, le=1000)
        """Weight lambda of the distance between two views. The paper takes 25."""
        variance_weight: float = Field(default=25, ge=0, le=1000)
        """Weight mu of the hinge on each channel's standard deviation, which prevents collapse. The paper takes 25."""
        covariance_weight: float = Field(default=1, ge=0, le=1000)
        """Weight nu of the covariances between channels. The paper takes 1."""
        variance_of: Literal["mean", "sum"] = "mean"
        """Whether the variance term is the mean of both views', as in the authors' code, or their sum, as the paper prints."""

        @model_validator(mode="after")
        def _not_nothing(self) -> Self:
            if not self.invariance_weight + self.variance_weight + self.covariance_weight:
                raise ValueError("one of invariance_weight, variance_weight and covariance_weight is to be above 0")
            return self

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        d = config.projection_dim
        self.expander = mlp([self.encoder.dim, d, d, d], last_norm=False, last_bias=False)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["first"][0], batch.views["second"][0]  # each (B, C, H, W)
        z1, z2 = self.expander(self.encoder(x1)), self.expander(self.encoder(x2))  # (B, D)
        s, v, c = invariance(z1, z2), variance(z1) + variance(z2), covariance(z1) + covariance(z2)
        v = v / 2 if self.config.variance_of == "mean" else v
        weighted = self.config.invariance_weight * s + self.config.variance_weight * v + self.config.covariance_weight * c
        return Output(weighted, {"invariance": s.detach(), "variance": v.detach(), "covariance": c.detach()})

    def project(self, images: Tensor) -> Tensor:
        projected: Tensor = self.expander(self.encoder(images))
        return projected
