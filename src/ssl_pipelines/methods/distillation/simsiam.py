"""SimSiam: each view's prediction meets the other view's projection, which no gradient enters. Chen & He, CVPR 2021, arXiv:2011.10566.

Differs: the projector has two layers, as in the paper's CIFAR-10 experiments (appendix D), where ImageNet's has three; its hidden layers
are as wide as the encoder's output, as in the authors' code. No blur at 32 px. Weights decay, biases and batch norms do not. Twice the
learning rate for a short run; last norms of residual blocks begin at 1, not 0.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_pipelines.losses.negative_cosine import negative_cosine
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, two_views


class SimSiam(Method):
    class Config(MethodConfig):
        name: Literal["simsiam"] = "simsiam"
        views: ViewPlan = two_views(SIMCLR_SMALL.model_copy(update={"scale": (0.2, 1.0)}))
        projection_dim: int = Field(default=2048, ge=8, le=8192)
        """Width of the projector's output. The paper takes 2048."""
        projection_layers: int = Field(default=2, ge=2, le=3)
        """Number of layers of the projector: 2 as in the paper's CIFAR-10 experiments, 3 as for ImageNet."""
        predictor_dim: int = Field(default=512, ge=2, le=8192)
        """Width of the predictor's hidden layer, a bottleneck; a quarter of `projection_dim` in the paper."""

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.06, weight_decay=5e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        e, d = self.encoder.dim, config.projection_dim
        self.projector = mlp([e] * config.projection_layers + [d], last_norm=True, last_affine=False)
        self.predictor = mlp([d, config.predictor_dim, d], last_norm=False)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["global"]  # each (B, C, H, W)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))  # (B, D)
        p1, p2 = self.predictor(z1), self.predictor(z2)  # (B, D)
        return Output((negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2)

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.predictor, schedule="constant")]  # table 1: 68.1 against 67.7 %
