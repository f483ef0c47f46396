"""SwAV: every view predicts to which prototypes another view of its image was assigned, where assignments use all prototypes alike.
Caron et al., NeurIPS 2020, arXiv:2006.09882.

Differs: 100 prototypes and a queue of 4 batches suit tens of thousands of images; two small crops (6) of 24 px beside 32 (96 beside
224 in both) and wider areas suit small images; no blur; SGD takes the place of LARS; a batch norm ends the projection and epsilon is
0.03 (0.05), for otherwise the codes of a short run stay uniform. Prototypes are frozen for the first epoch and the queue is used from
epoch 3 on (15 of hundreds); a run of fewer than `min_epochs` passes over the data is cut into that many epochs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.algorithms.sinkhorn import sinkhorn
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import local_rows, world_size
from ssl_pipelines.losses.swapped_prediction import swapped_prediction
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import OptimizerConfig, Recipe, at_most_the_images
from ssl_pipelines.methods.multi_crop import MultiCropConfig, multi_crop
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.prototypes import Prototypes
from ssl_pipelines.networks.queue import Queue
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan


class SwAV(Method):
    class Config(MultiCropConfig):
        name: Literal["swav"] = "swav"
        views: ViewPlan = multi_crop(SIMCLR_SMALL.model_copy(update={"scale": (0.2, 1.0)}), local=(0.1, 0.3), count=2)
        temperature: float = Field(default=0.1, gt=0, le=10)
        """Temperature of the predictions over prototypes. The paper takes 0.1."""
        hidden_dim: int = Field(default=512, ge=8, le=8192)
        """Width of the projector's hidden layer. The paper takes 2048."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding that is assigned to prototypes. The paper takes 128."""
        num_prototypes: int = Field(default=100, ge=2, le=100_000)
        """Number of prototypes. The paper takes 3,000 for ImageNet."""
        sinkhorn_epsilon: float = Field(default=0.03, ge=0.025, le=10)
        """Temperature of the assignments: lower is sharper, and below 0.025 exp(2 / epsilon) leaves float32. The paper takes
        0.05."""
        sinkhorn_iterations: int = Field(default=3, ge=1, le=1000)
        """Number of Sinkhorn iterations that share the batch out evenly over the prototypes. The paper takes 3."""
        queue_size: int = Field(default=1024, ge=0, le=1_000_000)
        """Number of earlier embeddings of each large crop that are assigned together with the batch, in whole batches; 0 for none.
        Use it where batches are small beside `num_prototypes`."""
        queue_from_epoch: int = Field(default=3, ge=0)
        """First epoch in which the queue is used, once its embeddings are of some worth. The paper takes 15 of hundreds."""
        frozen_epochs: int = Field(default=1, ge=0)
        """Number of epochs for which the prototypes stay as they were drawn. The paper takes 1."""
        min_epochs: int = Field(default=20, ge=1, le=10_000)
        """Number of epochs that a run of fewer passes over the data is cut into, so that `queue_from_epoch` and `frozen_epochs` are
        parts of it."""

        @model_validator(mode="after")
        def _a_batch_or_a_queue(self) -> Self:
            if not self.queue_size and self.queue_from_epoch != type(self).model_fields["queue_from_epoch"].default:
                raise ValueError(f"queue_from_epoch={self.queue_from_epoch} would be ignored with queue_size=0")
            return self

        def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
            queue = at_most_the_images(self.queue_size, num_samples)
            return {
                "num_prototypes": at_most_the_images(self.num_prototypes, num_samples),
                "queue_size": max(1, queue // batch_size) * batch_size,
            }

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if self.queue_size % batch_size:
                raise InputError(
                    f"methods.swav.queue_size={self.queue_size} is to be 0 or a multiple of pretrain.batch_size={batch_size}"
                )

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.num_prototypes > num_samples:
                raise InputError(
                    f"methods.swav.num_prototypes={self.num_prototypes}: allowed is 2 to {num_samples}, the number of images"
                )

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.5, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.min_epochs = config.min_epochs
        self.encoder = parts.build_encoder()
        self.encoder.check_sizes(group.size for group in config.views.groups.values())
        self.projector = mlp([self.encoder.dim, config.hidden_dim, config.projection_dim], last_norm=True)
        self.prototypes = Prototypes(config.projection_dim, config.num_prototypes)
        queues = (Queue(config.queue_size, config.projection_dim) for _ in range(2 if config.queue_size else 0))
        self.queues = nn.ModuleList(queues)  # one for each large crop

    def loss(self, batch: Batch, clock: Clock) -> Output:
        z = [F.normalize(self.projector(self.encoder(x)), dim=1) for x in batch.crops("global", "local")]  # (B, D) each
        scores = torch.stack([self.prototypes(row) for row in z])  # (V, B, K)
        codes = torch.stack([self.codes(k, scores[k], clock) for k in range(2)])
        used = codes.mean((0, 1))
        loss = swapped_prediction(codes, scores, self.config.temperature)
        return Output(loss, {"code_entropy": -(used * used.clamp(min=1e-30).log()).sum()}, {"z": torch.stack(z[:2]).detach()})

    @torch.no_grad()
    def codes(self, crop: int, scores: Tensor, clock: Clock) -> Tensor:
        """(B, K) -> (B, K) soft assignments, shared out over the global batch and what the queue of this crop remembers."""
        size, b = self.config.queue_size, len(scores)
        full = clock.step * b * world_size() >= size > 0
        if full and clock.epoch >= self.config.queue_from_epoch:
            past = self.queue(crop).keys[local_rows(size)]  # each rank takes its share of what all hold
            scores = torch.cat([scores, self.prototypes(past.to(scores.dtype)).to(scores.dtype)])
        return sinkhorn(scores, self.config.sinkhorn_epsilon, self.config.sinkhorn_iterations)[:b]

    def queue(self, crop: int) -> Queue:
        queue = self.queues[crop]
        assert isinstance(queue, Queue)
        return queue

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        self.prototypes.renormalize()
        for crop in range(len(self.queues)):
            self.queue(crop).push(outputs[0].memory["z"][crop])

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.prototypes, frozen_epochs=self.config.frozen_epochs)]
