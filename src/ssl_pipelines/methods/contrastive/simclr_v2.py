"""SimCLR v2, first stage: SimCLR with a projector of three layers, the first of which stays for fine-tuning. Chen et al.,
NeurIPS 2020, arXiv:2006.10029.

Two views attract each other, the other images of the batch repel. Fine-tuning puts its classifier on the projector's first layer,
f = W relu(BN(W1 h)); what is probed is still h. Larger networks gain most: backbone.width=2 or 3 and backbone.name=resnet50 make
wider and deeper ones. The third step, a student of the fine-tuned network, is `simclr_v2_distill`.

Differs: views, temperature and optimizer are SimCLR's for small images; no selective kernels, and no memory of earlier keys, which
the paper finds worth about a point.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, bicubic, two_views

FIRST_LAYER = 3  # modules of the projector: linear, batch norm, ReLU


class SimCLRv2(Method):
    class Config(MethodConfig):
        name: Literal["simclr_v2"] = "simclr_v2"
        views: ViewPlan = bicubic(two_views(SIMCLR_SMALL))
        temperature: float = Field(default=0.5, gt=0, le=10)
        """Temperature of the scores: 0.5 suits small images. Lower it, to the paper's 0.1, for large photographs and batches."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the projector's output, in which views are compared. The paper takes 128."""

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.5, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        dim = self.encoder.dim
        self.projector = mlp([dim, dim, dim, config.projection_dim], last_norm=True)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["global"]  # each (B, C, H, W)
        z1, z2 = self.projector(self.encoder(x1)), self.projector(self.encoder(x2))  # (B, D)
        return Output(nt_xent(z1, z2, self.config.temperature))

    def finetune_features(self, images: Tensor) -> Tensor:
        out: Tensor = self.projector[:FIRST_LAYER](self.encode(images))
        return out
