"""DeepCluster-v2: views are classified by spherical k-means of the last epoch's embeddings, whose centroids are the classifier.
Caron et al., NeurIPS 2020, arXiv:2006.09882, appendix D.

Differs: 3 sets of 300 centroids, two small crops (of 24 px beside 32) and SGD suit tens of thousands of small images; no blur. A run of fewer
than `min_epochs` passes over the data clusters that often; what is clustered then are the embeddings of the last N draws, the
first time those of plain images. An empty cluster takes half of the largest; the authors' keeps its centroid.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ssl_pipelines.algorithms.kmeans import kmeans, nearest_centroid
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import all_reduce_mean, gather_rows
from ssl_pipelines.methods.base import Clock, Embed, Method, Output, Parts
from ssl_pipelines.methods.config import OptimizerConfig, Recipe, at_most_the_images
from ssl_pipelines.methods.multi_crop import MultiCropConfig, multi_crop
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan

HALF = (torch.float16, torch.bfloat16)  # too coarse for a softmax over thousands of prototypes
MISSING = -1  # the label of an image without a recent embedding: ignored


class DeepClusterV2(Method):
    class Config(MultiCropConfig):
        name: Literal["deepcluster_v2"] = "deepcluster_v2"
        views: ViewPlan = multi_crop(SIMCLR_SMALL.model_copy(update={"scale": (0.2, 1.0)}), local=(0.1, 0.3), count=2)
        temperature: float = Field(default=0.1, gt=0, le=10)
        """Temperature of the cosines with the centroids. The paper takes 0.1."""
        hidden_dim: int = Field(default=512, ge=8, le=8192)
        """Width of the projector's hidden layer. The paper takes 2048."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding that is clustered. The paper takes 128."""
        num_prototypes: int = Field(default=300, ge=2, le=100_000)
        """Number of centroids in each set. The paper takes 3,000 for ImageNet."""
        num_sets: int = Field(default=3, ge=1, le=64)
        """Number of sets of centroids, each clustered by itself. The paper takes 3."""
        kmeans_iterations: int = Field(default=10, ge=1, le=1000)
        """Number of iterations of k-means at each clustering. The authors take 10."""
        min_epochs: int = Field(default=10, ge=1, le=10_000)
        """Number of epochs, each with a clustering, that a run of fewer passes over the data is cut into."""

        def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
            return {"num_prototypes": at_most_the_images(self.num_prototypes, num_samples)}

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.num_prototypes > num_samples:
                raise InputError(
                    f"methods.deepcluster_v2.num_prototypes={self.num_prototypes}: allowed is 2 to {num_samples}, the number of images"
                )

    config: Config
    bank: Tensor
    drawn: Tensor
    drawn_at: Tensor
    centroids: Tensor
    labels: Tensor
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.5, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.min_epochs, n, d = config.min_epochs, parts.num_samples, config.projection_dim
        self.encoder = parts.build_encoder()
        self.encoder.check_sizes(group.size for group in config.views.groups.values())
        self.projector = mlp([self.encoder.dim, config.hidden_dim, d], last_norm=False)
        self.register_buffer("bank", torch.zeros(2, n, d))  # the embeddings of each large crop
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))  # number of images drawn so far
        self.register_buffer("drawn_at", torch.full((n,), -n, dtype=torch.int64))  # value of `drawn` when a row was last written
        self.register_buffer("centroids", F.normalize(torch.randn(config.num_sets, config.num_prototypes, d), dim=2))
        self.register_buffer("labels", torch.full((config.num_sets, n), MISSING))

    def project(self, images: Tensor) -> Tensor:
        return F.normalize(self.projector(self.encoder(images)), dim=1)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        z = torch.stack([self.project(x) for x in batch.crops("global", "local")])  # (V, B, D)
        loss = assigned_cross_entropy(z, self.centroids, self.labels[:, batch.ids], self.config.temperature)
        missing = (self.labels[0, batch.ids] == MISSING).float().mean()
        return Output(loss, {"missing": missing}, {"z": z[:2].detach(), "ids": batch.ids})

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        ids = gather_rows(outputs[0].memory["ids"])
        for rows, z in zip(self.bank, outputs[0].memory["z"]):
            rows.index_copy_(0, ids, gather_rows(z).to(rows))
        self.drawn += len(ids)
        self.drawn_at.index_copy_(0, ids, self.drawn.expand(len(ids)))

    def before_epoch(self, clock: Clock, embed: Embed) -> None:
        n, device = len(self.drawn_at), self.bank.device
        if clock.epoch == 0:
            self.bank.copy_(embed(self._first_look).to(self.bank).expand_as(self.bank))
            self.drawn_at.copy_(self.drawn)
        recent = (self.drawn - self.drawn_at < n).nonzero().flatten()
        if len(recent) < self.config.num_prototypes:
            recent = torch.arange(n, device=device)
        self.labels.fill_(MISSING)
        for k, (centroids, labels) in enumerate(zip(self.centroids, self.labels)):
            rows, random = self.bank[k % 2, recent], torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            found, _ = kmeans(rows, self.config.num_prototypes, self.config.kmeans_iterations, random, spherical=True)
            found = gather_rows(found)[: len(found)]  # rank 0's on all ranks, since sums on a GPU differ in their last bits
            centroids.copy_(found)
            labels[recent] = nearest_centroid(rows, found).to(device)

    def _first_look(self, images: Tensor) -> Tensor:
        self.train(len(images) > 1)  # the batch's own statistics: running ones of untrained batch norms say nothing yet
        return self.project(images)


def assigned_cross_entropy(z: Tensor, centroids: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """mean_h mean_v mean_b -log softmax(<z_vb, c_h> / t)[y_hb].   z (V, B, D), centroids (H, K, D), labels (H, B) -> ().

    Rows with the label MISSING are left out of the mean, which runs over all ranks' rows."""
    logits = torch.einsum("vbd,hkd->hvbk", z, centroids.to(z)) / temperature
    logits = logits.float() if logits.dtype in HALF else logits
    targets = labels.unsqueeze(1).expand(logits.shape[:3])  # (H, V, B)
    total = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), ignore_index=MISSING, reduction="sum")
    return total / all_reduce_mean((targets != MISSING).sum().to(total.dtype)).clamp(min=1)
