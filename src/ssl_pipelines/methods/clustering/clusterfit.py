"""ClusterFit: cluster a finished network's features, then train a fresh network to tell the clusters apart. Yan et al., CVPR 2020,
arXiv:1912.03330.

Step 1, before the first epoch: the teacher's features of the plain training images, each of length 1, k-means, one hard label an
image, for good. Step 2: cross entropy of a network with weights of its own on those labels, which forgets what in the teacher's
features was bound to its pretext task. Read its score beside the teacher's; what the paper also compares with is the teacher
trained longer.

Differs: 80 images a cluster, as 16,000 clusters are for ImageNet; crops of at least a fifth of the area, and a cosine instead of
four steps of the learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.algorithms.kmeans import kmeans
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock, Embed, Method, Output, Parts, Sampling
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.methods.teacher import single_encoder
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

IMAGES_PER_CLUSTER = 80  # of ImageNet in 16,000 clusters


class ClusterFit(Method):
    class Config(MethodConfig):
        name: Literal["clusterfit"] = "clusterfit"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2))
        num_clusters: int | None = Field(default=None, ge=2, le=1_000_000)
        """Number of clusters of the teacher's features; null is one for 80 images, the paper's 16,000 for ImageNet."""
        iterations: int = Field(default=50, ge=1, le=1000)
        """Number of iterations of k-means."""
        teacher_stage: str | None = None
        """Stage of the teacher whose features are clustered; null is what the teacher is judged at, the last. Take an earlier one
        where the last serves the teacher's pretext task."""

        def check_data(self, num_samples: int, channels: int) -> None:
            if (self.num_clusters or 2) > num_samples:
                raise InputError(
                    f"methods.clusterfit.num_clusters={self.num_clusters or 2} is more than the {num_samples:,} images to train on"
                )

    config: Config
    labels: Tensor
    upstream = ("teacher",)
    compares_within_batch = False
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.1, weight_decay=1e-4, warmup_fraction=0.05))

    @classmethod
    def fitted(cls, config: Any, upstream: Mapping[str, nn.Module]) -> Any:
        teacher, stage = cast(Method, upstream["teacher"]), config.teacher_stage
        if stage not in (None, "final"):
            encoder = single_encoder(teacher)
            found = encoder.stages(torch.zeros(1, teacher.in_channels, teacher.image_size, teacher.image_size))
            if stage not in found:
                raise InputError(f"methods.clusterfit.teacher_stage={stage!r} is unknown; allowed: final, {', '.join(found)}")
        return config

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        count = config.num_clusters or max(2, round(parts.num_samples / IMAGES_PER_CLUSTER))
        self.encoder = parts.build_encoder()
        self.classifier = nn.Linear(self.encoder.dim, count)
        self.register_buffer("labels", torch.zeros(parts.num_samples, dtype=torch.int64))  # of the clusters, (N,)

    def before_epoch(self, clock: Clock, embed: Embed) -> Sampling | None:
        if clock.epoch == 0:
            random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            features = embed(self.teacher_features)  # (N, D)
            self.labels.copy_(kmeans(features, self.classifier.out_features, self.config.iterations, random)[1])
        return None

    def teacher_features(self, images: Tensor) -> Tensor:
        """images (B, C, H, W) -> (B, D) of length 1."""
        teacher, stage = self.finished("teacher"), self.config.teacher_stage
        features = teacher.encode(images) if stage in (None, "final") else single_encoder(teacher).stages(images)[stage]
        return F.normalize(features, dim=1, eps=1e-5)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        logits = self.classifier(self.encoder(batch.views["global"][0]))  # (B, K)
        labels = self.labels[batch.ids]
        accuracy = (logits.argmax(1) == labels).float().mean()
        largest = self.labels.bincount().max() / len(self.labels)
        return Output(F.cross_entropy(logits, labels), {"accuracy": accuracy, "largest_cluster": largest})
