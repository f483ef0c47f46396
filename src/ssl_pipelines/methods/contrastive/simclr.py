"""SimCLR: two strong views of an image attract each other, all other images of the batch repel. Chen et al., ICML 2020, arXiv:2002.05709.

Differs: the defaults are the authors' for small images (temperature 0.5, color strength 0.5, no blur; appendix B.9),
with SGD for batches of hundreds. `loss` puts another one in NT-Xent's place, with its own paper's temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import OptimizerConfig, Recipe
from ssl_pipelines.methods.pair_loss import PairConfig, PairCriterion
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, bicubic, two_views


class SimCLR(Method):
    class Config(PairConfig):
        name: Literal["simclr"] = "simclr"
        views: ViewPlan = bicubic(two_views(SIMCLR_SMALL))
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the projector's output, in which views are compared. The paper takes 128."""

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.5, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.projector = mlp([self.encoder.dim, self.encoder.dim, config.projection_dim], last_norm=True)
        self.criterion = PairCriterion(config)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["global"]  # each (B, C, H, W)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))  # (B, D)
        return Output(self.criterion(z1, z2), self.criterion.metrics(z1, z2))

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        self.criterion.after_step()

    def param_groups(self) -> list[ParamGroup]:
        return self.criterion.param_groups()
