"""Local aggregation: of the images around an image, those that clusterings put beside it come closer than the rest.
Zhuang et al., ICCV 2019, arXiv:1903.12355.

The run begins as InstDisc (Wu et al. 2018, arXiv:1805.01978), for neighbors in a random memory bank mean nothing.
Differs: neighborhoods and clusters are scaled to the number of images (0.32 % and 43 images each, the paper's shares of ImageNet), there
are 3 clusterings (10 in the paper for its residual networks); a batch norm ends the projection, for without it the embeddings of an
untrained network all point one way, and a short run is spent on parting them. A run of fewer than `min_epochs` passes over the data is cut into that
many epochs; the warm-up takes the first 3 of them (10 of 200), and then the bank is written anew with the embeddings of one network,
for in short runs its rows are as old as the run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.algorithms.kmeans import kmeans
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import gather_rows
from ssl_pipelines.losses.local_aggregation import local_aggregation
from ssl_pipelines.losses.nce import nce_of_first_normalizer
from ssl_pipelines.methods.base import Clock, Embed, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.bank import MemoryBank, bank_negatives, check_negatives
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

LEAST_IMAGES = 4


class LocalAggregation(Method):
    class Config(MethodConfig):
        name: Literal["local_aggregation"] = "local_aggregation"
        views: ViewPlan = one_view(
            ViewRecipe(scale=(0.2, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grayscale=0.2)
        )
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding and of a row of the memory bank. The paper takes 128."""
        temperature: float = Field(default=0.07, gt=0, le=10)
        """Temperature of the scores. The paper takes 0.07."""
        bank_momentum: float = Field(default=0.5, ge=0, lt=1)
        """Share of an image's old row of the memory bank that is kept when it is seen again. The paper takes 0.5."""
        negatives: int | None = Field(default=None, ge=1, le=2**20)
        """Number of rows of the memory bank against each image in the warm-up; null is 4,096, at most as many as there are
        images."""
        warmup_epochs: int = Field(default=3, ge=0, le=10_000)
        """Number of epochs at first that tell images apart as InstDisc does, since neighbors in a random bank mean nothing. The
        paper takes 10."""
        background_percent: float = Field(default=0.32, gt=0, le=100)
        """Number of nearest images that an image's close neighbors stand against, as a percentage of all. The paper takes 0.32 % of
        ImageNet (4,096)."""
        num_clusterings: int = Field(default=3, ge=1, le=64)
        """Number of clusterings whose unions are the close neighbors. The paper takes 10 for its residual networks."""
        images_per_cluster: int = Field(default=43, ge=2, le=1_000_000)
        """Mean number of images in a cluster; 43 are the paper's 30,000 clusters of ImageNet."""
        kmeans_iterations: int = Field(default=10, ge=1, le=1000)
        """Number of iterations of k-means at each clustering."""
        min_epochs: int = Field(default=10, ge=1, le=10_000)
        """Number of epochs, each with its clusterings, that a run of fewer passes over the data is cut into."""

        @model_validator(mode="after")
        def _negatives_are_read(self) -> Self:
            if self.negatives is not None and not self.warmup_epochs:
                raise ValueError(f"negatives={self.negatives} are the warm-up's; with warmup_epochs=0 they would be ignored")
            return self

        def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
            most = self.images_per_cluster if num_samples is None else max(2, num_samples // 2)
            return {"images_per_cluster": min(self.images_per_cluster, most)}

        def check_data(self, num_samples: int, channels: int) -> None:
            check_negatives("methods.local_aggregation.negatives", self.negatives, num_samples)
            if num_samples < LEAST_IMAGES:
                found = f"method='local_aggregation' needs two clusters of 2 images, {LEAST_IMAGES} images to train on"
                raise InputError(f"{found}, and there are {num_samples}")
            if self.images_per_cluster > num_samples // 2:
                found = f"methods.local_aggregation.images_per_cluster={self.images_per_cluster}"
                raise InputError(f"{found}: allowed is 2 to {num_samples // 2}, half the number of images")

    config: Config
    log_z: Tensor
    labels: Tensor
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.06, weight_decay=5e-4), batch_size=128)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.min_epochs, n = config.min_epochs, parts.num_samples
        self.num_neighbors = max(2, round(n * config.background_percent / 100))
        self.negatives = bank_negatives(config.negatives, n)
        self.encoder = parts.build_encoder()
        self.projector = mlp([self.encoder.dim, config.projection_dim], last_norm=True)
        self.bank = MemoryBank(n, config.projection_dim, config.bank_momentum)
        self.register_buffer("log_z", torch.tensor(torch.nan))  # until the first batch is seen
        self.register_buffer("labels", torch.zeros(config.num_clusterings, n, dtype=torch.int64))

    def project(self, images: Tensor) -> Tensor:
        return F.normalize(self.projector(self.encoder(images)), dim=1)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        z = self.project(batch.views["global"][0])  # (B, D)
        if clock.epoch < self.config.warmup_epochs:
            return self.instance_loss(z, batch.ids)
        cosines = z.detach() @ self.bank.rows.to(z).T  # (B, N)
        nearest = cosines.topk(self.num_neighbors, dim=1).indices  # (B, k): B_i, of the image as it is now
        own = self.labels[:, batch.ids].unsqueeze(2)  # (H, B, 1)
        close = (self.labels[:, nearest] == own).any(0)  # (B, k): C_i, of the last clusterings
        loss = local_aggregation(self.bank.scores(z, nearest), close, self.config.temperature)
        lonely = (~close.any(1)).float().mean()
        return Output(loss, {"close": close.float().mean(), "lonely": lonely}, {"z": z.detach(), "ids": batch.ids})

    def instance_loss(self, z: Tensor, ids: Tensor) -> Output:
        """The warm-up: is a row of the bank the image's own, or one of M drawn from all?"""
        n, t = len(self.bank.rows), self.config.temperature
        positive = self.bank.positives(z, ids)  # (B,)
        negatives = self.bank.scores(z, self.bank.draw(len(z), self.negatives))  # (B, M)
        loss, log_z = nce_of_first_normalizer(positive, negatives, self.log_z, n, t)
        return Output(loss, memory={"z": z.detach(), "ids": ids, "log_z": log_z})

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        memory = outputs[0].memory
        self.bank.update(memory["ids"], memory["z"])
        if "log_z" in memory:
            self.log_z.copy_(memory["log_z"])

    def before_epoch(self, clock: Clock, embed: Embed) -> None:
        if clock.epoch < self.config.warmup_epochs:
            return
        rows = self.bank.rows

        if clock.epoch == self.config.warmup_epochs:
            rows.copy_(embed(self.project))
        clusters = len(rows) // self.config.images_per_cluster
        for mine in self.labels:
            random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            _, labels = kmeans(rows, clusters, self.config.kmeans_iterations, random)
            mine.copy_(gather_rows(labels)[: len(rows)])  # rank 0's on all ranks, since sums on a GPU differ in their last bits
