"""InstDisc: every image is a class of its own, told apart from noise by a memory bank of embeddings. Wu et al., CVPR 2018, arXiv:1805.01978.

Two variants, of which a run has one: the paper overwrites a row of the bank and keeps embeddings near it by a proximal term (`proximal`
above 0, `bank_momentum` 0); the authors' code averages rows instead (`bank_momentum` 0.5, the default: their published results).
The normalizer Z is set by the first batch and constant ever after (section 3.2).

Differs: where the data set is smaller than 4096 images, as many negatives as images. Embeddings pass a batch norm without weights
(`center`) and gradients are clipped: without both, the loss of short runs with a small encoder grew instead of falling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.losses.nce import mean_normalizer, nce_of_first_normalizer
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.bank import MemoryBank, bank_negatives, check_negatives
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

# The authors' CIFAR recipe: color jitter always, no flip.
VIEW = ViewRecipe(scale=(0.2, 1.0), flip=0, jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grayscale=0.2)


class InstDisc(Method):
    class Config(MethodConfig):
        name: Literal["instdisc"] = "instdisc"
        views: ViewPlan = one_view(VIEW)
        temperature: float = Field(default=0.1, gt=0, le=10)
        """Temperature of the scores: 0.1 as in the authors' CIFAR recipe, 0.07 for ImageNet."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding and of a row of the memory bank. The paper takes 128."""
        negatives: int | None = Field(default=None, ge=1, le=2**20)
        """Number of rows of the memory bank against each image; null is 4,096, at most as many as there are images."""
        bank_momentum: float = Field(default=0.5, ge=0, lt=1)
        """Share of an image's old row of the memory bank that is kept when it is seen again, as in the authors' code. Set 0 where
        `proximal` is used, as in the paper."""
        center: bool = True
        """Whether the embedding passes a batch norm without weights. Without it the loss of short runs with a small encoder may
        grow."""
        proximal: float = Field(default=0.0, ge=0, le=1000)
        """Weight lambda of the distance between an embedding and its row of the bank, as in the paper, which tries 10, 30 and 50.
        It needs `bank_momentum` 0."""

        @model_validator(mode="after")
        def _one_variant(self) -> Self:
            if self.proximal and self.bank_momentum:
                found = f"proximal={self.proximal} and bank_momentum={self.bank_momentum}"
                raise ValueError(f"{found} are two ways to the same smoothness: one of them is to be 0")
            return self

        def check_data(self, num_samples: int, channels: int) -> None:
            check_negatives(f"methods.{self.name}.negatives", self.negatives, num_samples)

    config: Config
    log_z: Tensor
    compares_within_batch = False
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.03, weight_decay=5e-4, clip=1.0))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.num_samples = parts.num_samples
        self.negatives = bank_negatives(config.negatives, parts.num_samples)
        self.encoder = parts.build_encoder()
        self.projector = mlp([self.encoder.dim, config.projection_dim], last_norm=config.center, last_affine=False)
        self.bank = MemoryBank(parts.num_samples, config.projection_dim, config.bank_momentum)
        self.register_buffer("log_z", torch.tensor(torch.nan))

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images], n, t = batch.views["global"], self.num_samples, self.config.temperature
        drawn = self.bank.draw(len(images), self.negatives)  # (B, M)
        v = F.normalize(self.projector(self.encoder(images)), dim=1)  # (B, D)
        positive, negatives = self.bank.positives(v, batch.ids), self.bank.scores(v, drawn)  # (B,), (B, M)
        loss, log_z = nce_of_first_normalizer(positive, negatives, self.log_z, n, t)
        if self.config.proximal:  # |v - m|^2 = 2 - 2 <v, m> for unit rows
            loss = loss + self.config.proximal * (v - self.bank.rows[batch.ids].to(v)).square().sum(1).mean()
        return Output(loss, memory={"v": v.detach(), "ids": batch.ids, "log_z": log_z})

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        self.log_z.copy_(mean_normalizer([output.memory["log_z"] for output in outputs]))
        for output in outputs:
            self.bank.update(output.memory["ids"], output.memory["v"])
