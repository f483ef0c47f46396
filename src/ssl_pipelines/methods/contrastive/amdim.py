"""AMDIM: features of one view predict local features of another, at several scales. Bachman et al., NeurIPS 2019, arXiv:1906.00910.

The encoder has no padding, so that each place of a map depends on its own part of the image alone. Three tasks in both directions: the
whole against 5 x 5 places, the whole against 7 x 7, one random place of 5 x 5 against 5 x 5. Scores are dot products over sqrt(R), whose
mean square is penalized before a soft clip. One flip is drawn for both views, so that left and right keep their meaning.

Differs: a narrower encoder (32 channels instead of 128, last map 256 instead of 1024) for small machines, `backbone.name=unpadded_base`
is the authors'; crops as they take for STL-10, at any size, in place of a shift by 4 px; the learning rate suits a short run. Within the
encoder blocks end in a ReLU and widen by a learned 1x1 (the authors' add nothing behind the sum, and pad with zeros), no layer begins at
zero, and batch norms stand on all three maps.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.losses.amdim import amdim_loss
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.networks.unpadded import UnpaddedNet
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewGroup, ViewPlan, ViewRecipe

RECIPE = ViewRecipe(scale=(0.3, 1.0), jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, grayscale=0.25)


class Embedding(nn.Module):
    """(B, C, h, w) -> (B, R, h, w), every place for itself: 1x1, ReLU, 1x1 beside a linear way, then batch norm."""

    def __init__(self, dim: int, out: int):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(dim, out, 1), nn.ReLU(inplace=True), nn.Conv2d(out, out, 1, bias=False))
        self.shortcut = nn.Conv2d(dim, out, 1, bias=False)
        self.norm = BatchNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.norm(self.branch(x) + self.shortcut(x))
        return embedded


class AMDIM(Method):
    class Config(MethodConfig):
        name: Literal["amdim"] = "amdim"
        views: ViewPlan = ViewPlan(groups={"global": ViewGroup(recipe=RECIPE, count=2, shared_flip=True)})
        clip: float = Field(default=20.0, gt=0, le=1000)
        """Bound of the soft clip of the scores: c tanh(s / c). Lower it where training is unstable; the paper takes 20."""
        penalty: float = Field(default=0.04, ge=0, le=10)
        """Weight of the mean squared score, which keeps scores small. The paper takes 0.04."""

    config: Config
    encoder: UnpaddedNet
    needs = ("unpadded",)
    recipe = Recipe(
        backbone=BackboneConfig(name="unpadded_small"),
        optimizer=OptimizerConfig(name="adamw", lr=3e-4, lr_batch=None, betas=(0.8, 0.999), weight_decay=1e-5),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()  # type: ignore[assignment]
        self.embed = nn.ModuleDict({scale: Embedding(self.encoder.local_dim, self.encoder.dim) for scale in ("fine", "coarse")})

    def loss(self, batch: Batch, clock: Clock) -> Output:
        first, second = (self.features(view) for view in batch.views["global"])
        tasks = {"top_to_coarse": ("top", "coarse"), "top_to_fine": ("top", "fine"), "coarse_to_coarse": ("coarse", "coarse")}
        metrics = {}
        for name, (source, target) in tasks.items():
            both = [
                amdim_loss(one_place(a[source]), b[target].flatten(2), self.config.clip, self.config.penalty)
                for a, b in ((first, second), (second, first))
            ]
            metrics[name] = torch.stack(both).mean()
        total = torch.stack(list(metrics.values())).sum()
        return Output(total, metrics={name: value.detach() for name, value in metrics.items()})

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """top (B, R, 1, 1) as the encoder has it; fine and coarse embedded, (B, R, h, w)."""
        maps = self.encoder.maps(images)
        return maps | {scale: self.embed[scale](maps[scale]) for scale in ("fine", "coarse")}


def one_place(features: Tensor) -> Tensor:
    """(B, R, h, w) -> (B, R) at one random place of each image."""
    flat = features.flatten(2)
    place = (rand_rows(len(flat), device=flat.device) * flat.shape[2]).long()  # (B,)
    return flat[torch.arange(len(flat), device=flat.device), :, place]
