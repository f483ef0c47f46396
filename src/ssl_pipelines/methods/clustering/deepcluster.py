"""DeepCluster: k-means groups the features, the groups are classes to learn, and so on in turn. Caron et al., ECCV 2018, arXiv:1807.05520.

Differs: 100 clusters and a classifier of 512 units suit tens of thousands of small images; colors are jittered, for the cheapest
clusters of small images are those of color; no Sobel filter by default. A run of fewer than `min_epochs` passes over the data
clusters that often; so that a fresh layer over the clusters learns in few steps, its learning rate is 1 (0.05 in the authors' code)
and batch norms stand in the classifier; the trunk's is 0.2 (0.05).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.algorithms.kmeans import kmeans
from ssl_pipelines.algorithms.whitening import whiten
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import gather_rows, rand_rows
from ssl_pipelines.methods.base import Clock, Embed, Method, Output, ParamGroup, Parts, Sampling
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe, at_most_the_images
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, one_view

SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])


class Classifier(nn.Linear):
    """The linear layer over the clusters; each reset draws its weights with standard deviation 0.01."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)


class DeepCluster(Method):
    class Config(MethodConfig):
        name: Literal["deepcluster"] = "deepcluster"
        views: ViewPlan = one_view(SIMCLR_SMALL.model_copy(update={"scale": (0.2, 1.0)}))
        num_clusters: int = Field(default=100, ge=2, le=1_000_000)
        """Number of clusters, which are the classes to learn. The paper takes 10,000 for ImageNet, ten times its classes."""
        hidden_dim: int = Field(default=512, ge=2, le=8192)
        """Width of the two layers before the classifier. The paper takes 4096."""
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Chance, 0 to below 1, that a unit before the classifier is left out. The paper takes 0.5."""
        pca_dim: int = Field(default=256, ge=1, le=8192)
        """Number of principal components to which features are whitened before clustering. The paper takes 256."""
        kmeans_iterations: int = Field(default=20, ge=1, le=1000)
        """Number of iterations of k-means at each clustering."""
        sobel: bool = False
        """Whether the encoder sees edges (Sobel's derivatives) in place of colors, as in the paper. Turn it on where clusters are
        those of color."""
        classifier_lr: float = Field(default=1.0, gt=0, le=100)
        """Learning rate of the layer over the clusters, for 256 images, constant and without momentum. Lower it, to the authors'
        0.05, for long epochs."""
        min_epochs: int = Field(default=5, ge=1, le=10_000)
        """Number of epochs, each with a clustering, that a run of fewer passes over the data is cut into."""

        def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
            return {"num_clusters": at_most_the_images(self.num_clusters, num_samples)}

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.num_clusters > num_samples:
                raise InputError(
                    f"methods.deepcluster.num_clusters={self.num_clusters}: allowed is 2 to {num_samples}, the number of images"
                )

    config: Config
    labels: Tensor
    largest_cluster: Tensor
    recipe = Recipe(
        optimizer=OptimizerConfig(name="sgd", lr=0.2, weight_decay=1e-5, schedule="constant", warmup_fraction=0.0), batch_size=128
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.min_epochs = config.min_epochs
        self.encoder = parts.build_encoder(channels=2) if config.sobel else parts.build_encoder()
        if config.sobel:
            self.encoder.set_statistics([0.0, 0.0], [0.5, 0.5])
        self.first = mlp([self.encoder.dim, config.hidden_dim], last_norm=True)
        self.second = mlp([config.hidden_dim, config.hidden_dim], last_norm=True)
        self.classifier = Classifier(config.hidden_dim, config.num_clusters)
        self.register_buffer("labels", torch.zeros(parts.num_samples, dtype=torch.int64))
        self.register_buffer("largest_cluster", torch.zeros(()))  # share of the images: near 1 is collapse

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return super().encode(edges(images) if self.config.sobel else images, stage)

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, hidden): what is clustered, before the last ReLU."""
        x = F.relu(self.first(self.drop(self.encode(images))))
        return self.second(self.drop(x))

    def drop(self, x: Tensor) -> Tensor:
        p = self.config.dropout
        if not self.training or not p:
            return x
        return x * (rand_rows(*x.shape, device=x.device) >= p).to(x.dtype) / (1 - p)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        return next(iter(self.losses(batch, clock)))

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Output]:
        """One step of both optimizers: the second looks at the same features, and the classifier has not moved in between."""
        h, labels = F.relu(self.features(batch.views["global"][0])), self.labels[batch.ids]
        logits = self.classifier(h)
        accuracy = (logits.argmax(1) == labels).float().mean()
        yield Output(F.cross_entropy(logits, labels), {"cluster_accuracy": accuracy, "largest_cluster": self.largest_cluster})
        yield Output(F.cross_entropy(self.classifier(h.detach()), labels), optimizer="classifier")

    def before_epoch(self, clock: Clock, embed: Embed) -> Sampling | None:
        random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        x = F.normalize(whiten(embed(self.features), self.config.pca_dim), dim=1).to(self.labels.device)
        _, labels = kmeans(x, self.config.num_clusters, self.config.kmeans_iterations, random)
        # Rank 0's on all ranks, since sums on a GPU differ in their last bits.
        self.labels.copy_(gather_rows(labels)[: len(labels)])
        counts = self.labels.bincount(minlength=self.config.num_clusters)
        self.largest_cluster.copy_(counts.max() / len(labels))
        return Sampling(weights=1 / counts[self.labels].cpu().double())  # every cluster is drawn equally often

    def param_groups(self) -> list[ParamGroup]:
        plain = OptimizerConfig(
            lr=self.config.classifier_lr, momentum=0.0, weight_decay=1e-5, schedule="constant", warmup_fraction=0.0
        )
        return [ParamGroup(self.classifier, optimizer="classifier", config=plain, reset_each_epoch=True)]


def edges(images: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] -> (B, 2, H, W) in [-4, 4]: Sobel's derivatives of the channels' mean, to the right and down."""
    kernels = torch.stack([SOBEL, SOBEL.T]).unsqueeze(1).to(images)
    return F.conv2d(images.mean(1, keepdim=True), kernels, padding=1)
