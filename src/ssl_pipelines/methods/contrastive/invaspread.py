"""InvaSpread: an image's augmented view is taken for the image itself, and for no other of the batch. Ye et al., CVPR 2019, arXiv:1904.03436.

The embedding of `embedding_dim` channels is what is evaluated, as in the paper.

Differs: the paper's equation is divided by the batch. `form: code` is what the authors' repository minimizes: all 2B rows asked in turn,
their keys without gradient; it also augments both views (`views.groups.plain.recipe`).
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.losses.inva_spread import inva_spread, inva_spread_released
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewGroup, ViewPlan, ViewRecipe

PLAIN = ViewRecipe(crop="none", flip=0.0)
AUGMENTED = SIMCLR_SMALL.model_copy(update={"scale": (0.2, 1.0), "jitter": 1.0, "hue": 0.4})  # the authors' code: colors always


class InvaSpread(Method):
    class Config(MethodConfig):
        name: Literal["invaspread"] = "invaspread"
        views: ViewPlan = ViewPlan(groups={"plain": ViewGroup(recipe=PLAIN), "augmented": ViewGroup(recipe=AUGMENTED)})
        temperature: float = Field(default=0.1, gt=0, le=10)
        """Temperature of the scores. The paper takes 0.1."""
        embedding_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding, which is also what is evaluated. The paper takes 128."""
        form: Literal["paper", "code"] = "paper"
        """Loss: the paper's equation, or what the authors' code minimizes (all 2B rows, keys without gradient)."""

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.06, weight_decay=5e-4), batch_size=128)
    encoders = ("encoder", "embedder")

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.embedder = nn.Linear(self.encoder.dim, config.embedding_dim)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        plain, augmented = batch.views["plain"][0], batch.views["augmented"][0]  # each (B, C, H, W)
        criterion = inva_spread if self.config.form == "paper" else inva_spread_released
        return Output(criterion(self.embed(plain), self.embed(augmented), self.config.temperature))

    def embed(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D) unit rows."""
        return F.normalize(self.embedder(self.encoder(images)), dim=1)

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.embed(images)

    @property
    def dim(self) -> int:
        return self.config.embedding_dim
