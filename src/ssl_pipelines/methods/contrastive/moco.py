"""MoCo: a query recognizes the momentum encoder's key of its other view among a queue of older keys. He et al., CVPR 2020, arXiv:1911.05722.

The keys of a batch are made in another order than the queries, and batch norms see a device's share of it ("shuffling batch norm",
section 3.3): else the statistics of the batch tell which key belongs to a query. Here the shares are `groups`, on one device too.

Differs: a queue of 4096 and momentum 0.99 suit small images and short runs (the authors' CIFAR demo; the paper has 65536 and
0.999), the learning rate is four times the paper's and falls by a cosine; with `symmetric` the two directions are averaged (the
demo adds them)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import gather_rows, local_rows, world_size
from ssl_pipelines.losses.info_nce import info_nce
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.momentum import follow, frozen_copy
from ssl_pipelines.networks.norm import split_norms
from ssl_pipelines.networks.queue import Queue, whole_batches
from ssl_pipelines.networks.scores import row_scores
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, two_views

VIEW = ViewRecipe(scale=(0.2, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, grayscale=0.2)


class MoCo(Method):
    class Config(MethodConfig):
        name: Literal["moco"] = "moco"
        views: ViewPlan = two_views(VIEW)
        temperature: float = Field(default=0.07, gt=0, le=10)
        """Temperature of the scores: 0.07 in MoCo's paper, 0.2 in MoCo v2's. Lower it to weigh near negatives more."""
        momentum: float = Field(default=0.99, ge=0, lt=1)
        """Share of the key encoder's weights that is kept at each step. Raise it, towards the paper's 0.999, for long runs."""
        queue: int | None = Field(default=None, ge=1, le=2**20)
        """Number of keys in the queue; null is 4,096, at most half of the images, in whole batches. The paper has 65,536 for
        ImageNet."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of queries and keys. The paper takes 128."""
        groups: int = Field(default=8, ge=1, le=1024)
        """Number of parts of the batch that have batch norm statistics of their own, so that these do not give the key away; 8 as
        the paper's GPUs."""
        symmetric: bool = False
        """Whether each view is the query once, and the two losses are averaged. It takes twice the time for a step and learns more
        from it."""

        def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
            most = max(1, min(self.groups, batch_size // 2))
            return {"groups": next(groups for groups in range(most, 0, -1) if batch_size % groups == 0)}

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if batch_size % self.groups or batch_size // self.groups < 2:
                found = f"methods.{self.name}.groups={self.groups} does not divide pretrain.batch_size={batch_size}"
                raise InputError(f"{found} into parts of 2 images or more")
            if self.queue is not None and self.queue % batch_size:
                found = f"methods.{self.name}.queue={self.queue}"
                raise InputError(f"{found}: allowed are multiples of pretrain.batch_size={batch_size}, and null")

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.queue is not None and self.queue > num_samples:
                found = f"methods.{self.name}.queue={self.queue} is larger than the number of training images"
                raise InputError(f"{found}: allowed is up to {num_samples}, and null")

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.12, weight_decay=5e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.projector = self.build_projector()
        split_norms(self.encoder, config.groups)
        self.key_encoder, self.key_projector = frozen_copy(self.encoder), frozen_copy(self.projector)
        size = config.queue or whole_batches(4096, parts.batch_size, parts.num_samples)
        self.queue = Queue(size, config.projection_dim)

    def build_projector(self) -> nn.Module:
        return nn.Linear(self.encoder.dim, self.config.projection_dim)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x1, x2 = batch.views["global"]  # each (B, C, H, W)
        loss, k2 = self.contrast(x1, x2)
        if not self.config.symmetric:
            return Output(loss, memory={"k2": k2})
        mirrored, k1 = self.contrast(x2, x1)
        return Output((loss + mirrored) / 2, memory={"k2": k2, "k1": k1})

    def contrast(self, query_view: Tensor, key_view: Tensor) -> tuple[Tensor, Tensor]:
        """-> the loss, and the keys (B, D) in the order of the queries."""
        q = F.normalize(self.projector(self.encoder(query_view)), dim=1)  # (B, D)
        k = self.keys_of(key_view)  # (B, D)
        return info_nce(row_scores(q, k.unsqueeze(1)).squeeze(1), row_scores(q, self.queue.keys), self.config.temperature), k

    @torch.no_grad()
    def keys_of(self, images: Tensor) -> Tensor:
        """Keys in the order of this rank's queries. They are encoded in a random order of the global batch and sorted back."""
        order = torch.randperm(len(images) * world_size(), device=images.device)
        mine = local_rows(len(order))
        shuffled = gather_rows(images)[order[mine]]
        k = F.normalize(self.key_projector(self.key_encoder(shuffled)), dim=1)
        return gather_rows(k)[order.argsort()[mine]]

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        follow(self.followers(), self.config.momentum)
        for keys in outputs[0].memory.values():
            self.queue.push(keys)

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.key_encoder, self.encoder), (self.key_projector, self.projector)]
