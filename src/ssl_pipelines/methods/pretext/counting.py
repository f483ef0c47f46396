"""Counting: what is counted in an image is the sum of what is counted in its four tiles. Noroozi et al., ICCV 2017, arXiv:1708.06734.

|phi(D x) - sum_j phi(T_j x)|^2 + max(0, M - |phi(D y) - sum_j phi(T_j x)|^2) (eq. 4): T_j are the tiles of 2 x 2, D shrinks the image to the
size of a tile, by a filter drawn an image so that none leaves a trace of its own; y is another image, without which phi = 0 would do.
All five inputs of an image pass through the network together, y is the batch's next image, and two images of three are gray, since
borders of color would betray the scale.
Differs: the encoder is any of ours and trains on tiles, 16 px where images have 32, while what is evaluated sees whole images; the last
layer has no bias, which four tiles would count four times, and begins with a quarter of its usual weights; a hidden layer of 1,024
instead of two of 4,096; crops change their aspect, where the paper's are square; AdamW at 1e-3 for a short run (1e-4).
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import gather_rows, local_rows, rand_rows, world_size
from ssl_pipelines.losses.counting import counting_loss, squared_distance
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import UNPADDED, BackboneConfig
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.halving import STYLES, halved
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


class Counting(Method):
    class Config(MethodConfig):
        name: Literal["counting"] = "counting"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.6, 1.0), flip=0.5, grayscale=2 / 3))
        num_counts: int = Field(default=1000, ge=1, le=65536)
        """Number of things that are counted: the width of the output. The paper takes 1,000."""
        hidden_dim: int = Field(default=1024, ge=8, le=16384)
        """Width of the layer before the counts."""
        margin: float = Field(default=10.0, gt=0, le=1e6)
        """Squared distance M by which the counts of different images are to differ. The paper takes 10."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.name in UNPADDED:
                found = f"method='counting' shows the encoder quarters of images, which backbone.name={backbone.name!r} cannot take"
                raise InputError(f"{found}; allowed are a ResNet, a ViT and timm models of any size")

        def resolved_views(self, store_size: int) -> ViewPlan:
            plan = super().resolved_views(store_size)
            size = plan.groups["global"].size or 0
            if size % 2:
                raise InputError(f"methods.counting.views.size={size}: allowed are even numbers, for the four tiles are alike")
            return plan

    config: Config
    judged_at = "best"
    recipe = Recipe(optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder, hidden = parts.build_encoder(), config.hidden_dim
        self.encoder.check_sizes([(config.views.groups["global"].size or 0) // 2])
        last = nn.Linear(hidden, config.num_counts, bias=False)
        # The summed counts of four tiles begin at about the margin; from far more all counts would fall to 0, where ReLUs have no
        # gradient.
        with torch.no_grad():
            last.weight.mul_(0.25)
        counts = nn.ReLU(inplace=True)  # not negative
        self.counter = nn.Sequential(nn.Linear(self.encoder.dim, hidden), nn.ReLU(inplace=True), last, counts)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, S, S)
        style = (rand_rows(len(images), device=images.device) * STYLES).long()
        counts = self.count(torch.cat([halved(images, style), tiles(images)])).chunk(5)  # each (B, K)
        whole, total = counts[0], torch.stack(counts[1:]).sum(0)
        other = another(whole)
        term, between = squared_distance(whole.detach(), total.detach()), squared_distance(other.detach(), total.detach())
        active = (between < self.config.margin).float().mean()  # share of pairs that the hinge still moves apart
        metrics = {"counting": term.mean(), "active": active, "count": whole.detach().mean()}
        return Output(counting_loss(whole, total, other, self.config.margin), metrics)

    def count(self, images: Tensor) -> Tensor:
        """(B, C, s, s) -> (B, K), phi, in float32 or better: four of them are to be summed."""
        counts: Tensor = self.counter(self.encoder(images))
        return counts.to(torch.promote_types(counts.dtype, torch.float32))


def tiles(images: Tensor) -> Tensor:
    """(B, C, S, S) -> (4 B, C, S / 2, S / 2): all first tiles, then all second ones, row by row."""
    half = images.shape[-1] // 2
    return torch.cat([images[:, :, y : y + half, x : x + half] for y in (0, half) for x in (0, half)])


def another(rows: Tensor) -> Tensor:
    """(B, K) -> (B, K): each row's neighbor in the global batch, never itself."""
    total = len(rows) * world_size()
    return gather_rows(rows).roll(-1, 0)[local_rows(total)]
