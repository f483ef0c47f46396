"""Exemplar CNN: a patch and all its transforms are a class of their own. Dosovitskiy et al., NIPS 2014, arXiv:1406.6909.

Seeds are patches of different images, drawn in proportion to their mean squared gradient, once, before the first step. A class is a seed
under `num_transforms` transforms (shift, scale, rotation, contrast along the pixels' principal components, saturation, value and hue),
and the loss is plain cross entropy over the classes. Number k of a class is a function of (seed of the run, class, k), so that none is
stored and every visit draws its k. Geometry acts on the image, mirrored beyond its edge, before the patch is cut. The encoder's stem is
the one for images of a seed's size, and the same network encodes whole images in the evaluation.
Differs: 2,000 classes of 8,000 suit short runs; up to 32 px a seed is the whole image; a batch norm stands in the hidden layer; SGD at
0.1 and batches of 256 (0.01 and 128).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.methods.base import Clock, Embed, Method, Output, Parts, Sampling
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.unpadded import UnpaddedNet
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.exemplars import TransformRanges, Transforms, cut, draw_seeds, gradient_energy, recolored
from ssl_pipelines.views.hashed_random import hashed_uniform
from ssl_pipelines.views.patches import cut_patches
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view
from ssl_pipelines.views.randomness import generator

MOST_CLASSES = 2000


class Exemplar(Method):
    class Config(MethodConfig):
        name: Literal["exemplar"] = "exemplar"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.0))
        num_classes: int | None = Field(default=None, ge=2, le=1_000_000)
        """Number of seed patches, each a class; null is 2,000, at most as many as there are images. More are harder to tell
        apart."""
        num_transforms: int = Field(default=150, ge=1, le=1_000_000)
        """Number K of transforms of a seed that make its class."""
        transforms: TransformRanges = TransformRanges()
        """How far a transform may go."""
        seed_size: int = Field(default=32, ge=4, le=1024)
        """Side of a seed patch in px; images that are smaller are seeds as a whole."""
        hidden_dim: int = Field(default=512, ge=8, le=8192)
        """Width of the layer before the classifier."""
        dropout: float = Field(default=0.5, ge=0, lt=1)
        """Chance, 0 to below 1, that a unit of that layer is left out while training."""

        @model_validator(mode="after")
        def _whole_images(self) -> Self:
            for group in self.views.groups.values():
                if (group.recipe.crop, group.recipe.flip, group.recipe.rotation) != ("none", 0.0, 0.0):
                    raise ValueError(
                        "views.groups.global.recipe: crop=none, flip=0 and rotation=0 are allowed; `transforms` has its own"
                    )
            return self

        def trained_on(self, size: int) -> int:
            return min(self.seed_size, size)

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.num_classes and self.num_classes > num_samples:
                found = f"methods.exemplar.num_classes={self.num_classes}"
                raise InputError(f"{found}: seeds are patches of different images, allowed is 2 to {num_samples}")

    config: Config
    compares_within_batch = False
    judged_at = "best"
    class_of: Tensor
    corners: Tensor
    seed: Tensor
    pixel_mean: Tensor
    components: Tensor
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.1, weight_decay=5e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder, n = parts.build_encoder(), parts.num_samples
        self.side = config.trained_on(parts.image_size)
        if isinstance(self.encoder, UnpaddedNet) and self.side != parts.image_size:
            raise InputError(
                f"methods.exemplar.seed_size={config.seed_size}: an encoder without padding takes whole views of {parts.image_size} px alone"
            )
        self.encoder.check_sizes([self.side])
        self.num_classes = config.num_classes or min(MOST_CLASSES, n)
        self.hidden = nn.Sequential(*mlp([self.encoder.dim, config.hidden_dim], last_norm=True), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(config.hidden_dim, self.num_classes)
        # Class of each row of the training set; -1: it has no seed.
        self.register_buffer("class_of", torch.arange(n) % self.num_classes)
        self.register_buffer("corners", torch.zeros(n, 2, dtype=torch.int64))  # top and left of a row's patch, px
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))
        channels = self.encoder.in_channels
        self.register_buffer("pixel_mean", torch.full((channels,), 0.5))
        self.register_buffer("components", torch.eye(channels))  # a principal component of the pixels a column

    def prepare(self, images: Tensor) -> None:
        pixels = images.flatten(0, 2).double() / 255  # (P, C)
        self.pixel_mean.copy_(pixels.mean(0))
        self.components.copy_(torch.linalg.eigh(torch.cov(pixels.T).reshape(len(self.components), -1)).eigenvectors)

    def before_epoch(self, clock: Clock, embed: Embed) -> Sampling:
        if clock.epoch == 0:
            self.seed.copy_(torch.randint(2**62, ()))
            self.choose_seeds(embed(lambda images: gradient_energy(images, self.side, self.stride)))
        n, rows = len(self.class_of), (self.class_of >= 0).nonzero().squeeze(1).cpu()
        return Sampling(ids=rows[passes(len(rows), clock.epoch * n, n, int(self.seed))])

    @property
    def stride(self) -> int:
        """px between places that may be seeds."""
        return max(1, self.side // 2)

    def choose_seeds(self, energy: Tensor) -> None:
        rows, places = draw_seeds(energy, self.num_classes, generator(int(self.seed), "exemplar/seeds"))
        across = (self.image_size - self.side) // self.stride + 1
        corners = torch.stack([places // across, places % across], dim=1) * self.stride
        self.class_of.fill_(-1)
        self.class_of[rows.to(self.class_of.device)] = torch.arange(len(rows), device=self.class_of.device)
        self.corners[rows.to(self.corners.device)] = corners.to(self.corners.device)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        classes = self.class_of[batch.ids]  # (B,)
        which = (rand_rows(len(classes), device=classes.device) * self.config.num_transforms).long()
        logits = self.classifier(self.drop(self.hidden(self.encoder(self.transformed(batch, which)))))  # (B, N)
        accuracy = (logits.argmax(1) == classes).float().mean()
        return Output(F.cross_entropy(logits, classes), metrics={"accuracy": accuracy})

    def transformed(self, batch: Batch, which: Tensor) -> Tensor:
        """`which` (B,): the number of the transform of each image's class -> patches (B, C, side, side) in [0, 1]."""
        images = batch.views["global"][0]
        numbers = hashed_uniform(self.seed, Transforms.size(images.shape[1]), self.class_of[batch.ids], which)
        drawn = Transforms.of(numbers, self.config.transforms)
        patches = cut(images, self.corners[batch.ids], self.side, drawn)
        return recolored(patches, drawn, self.pixel_mean, self.components)

    def drop(self, x: Tensor) -> Tensor:
        p = self.config.dropout
        if not self.training or not p:
            return x
        return x * (rand_rows(*x.shape, device=x.device) >= p).to(x.dtype) / (1 - p)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (an image's seed patch, five transforms of it: its class)."""
        first = Batch({"global": batch.views["global"][:, :8]}, {}, batch.ids[:8])
        images, ids = first.views["global"][0], first.ids
        seeds = cut_patches(images, self.corners[ids].unsqueeze(1), self.side)[:, 0]
        variants = [self.transformed(first, torch.full_like(ids, k)) for k in range(5)]
        return {"surrogate_classes": torch.stack([seeds, *variants], dim=1).flatten(0, 1)}


def passes(count: int, start: int, length: int, seed: int) -> Tensor:
    """(length,) numbers below `count`: draws `start` to `start + length` of an endless list of permutations, a pure function of `seed`."""
    laps = range(start // count, -(-(start + length) // count))
    numbers = torch.cat([torch.randperm(count, generator=generator(seed, "exemplar/pass", lap)) for lap in laps])
    return numbers[start % count :][:length]
