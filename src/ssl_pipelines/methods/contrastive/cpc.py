"""CPC: from the patches above, tell the patch some rows below from all others. van den Oord et al. 2018, arXiv:1807.03748.

A grid of overlapping gray patches, each encoded alone and without a norm; a context network that sees no row below; one linear
map W_k for each number of rows k; scores z^T W_k c, neither normalized nor tempered. The adjacent row overlaps and is skipped.
What is evaluated is the mean of the patches' features.
Differs: the trunk is the run's ResNet without norms; 5 x 5 patches of 10 px (of 32), as ports to CIFAR-10 take, where the paper has
7 x 7 of 64 px (of 256); negatives are all patches of the batch over all devices; the learning rate suits a short run.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.losses.grid_nce import grid_nce
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.patch_prediction import RECIPE, PatchPredictionConfig
from ssl_pipelines.networks.context import RowContext
from ssl_pipelines.networks.patch_grid import PatchGrid
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.color import to_gray


def inner_crop(patches: Tensor, size: int, noise: Tensor) -> Tensor:
    """(N, C, P, P), uniform (N, 2) -> a random size x size crop of each, zeros around it up to P again."""
    side = patches.shape[-1]
    first = (noise * (side - size + 1)).long().unsqueeze(2) + torch.arange(size, device=patches.device)  # (N, 2, size)
    rows, columns = first[:, 0, :, None].unsqueeze(1), first[:, 1, None, :].unsqueeze(1)
    c = patches.shape[1]
    x = patches.gather(2, rows.expand(-1, c, -1, side)).gather(3, columns.expand(-1, c, size, -1))
    before = (side - size) // 2
    return F.pad(x, (before, side - size - before) * 2)


class CPC(Method):
    class Config(PatchPredictionConfig):
        trunk_norm = "none"

        name: Literal["cpc"] = "cpc"
        patch_crop: float = Field(default=60 / 64, gt=0.5, le=1)
        """Side of a random crop of each patch, as a share of the patch's side. The paper crops 60 of 64 px; a smaller share hides
        edges that continue from patch to patch."""

    config: Config
    encoder: PatchGrid
    needs = ("resnet",)
    recipe = RECIPE

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = PatchGrid(
            parts.build_encoder(channels=1, norm=config.trunk_norm, stem="small"), config.grid, parts.image_size
        )
        for module in self.encoder.modules():  # without norms the initial weights alone keep the features' size
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        d = self.encoder.dim
        self.context = RowContext(d, config.context_dim, config.context_depth)
        maps = [nn.Conv2d(d, d, 1, bias=False) for _ in range(config.steps)]  # W_k
        for w in maps:
            nn.init.normal_(w.weight, std=1 / d)
        self.predictors = nn.ModuleList(maps)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        patches = self.encoder.patches(to_gray(batch.views["global"][0]))  # (B, grid, grid, 1, P, P)
        noise = rand_rows(len(patches), self.config.grid**2, 2, device=patches.device)
        size = math.floor(self.config.patch_crop * self.encoder.patch_size)
        cropped = inner_crop(patches.flatten(0, 2), size, noise.flatten(0, 1))
        z = self.encoder.encode_patches(cropped.view(patches.shape))  # (B, D, grid, grid)
        c = self.context(z)
        found = [grid_nce(w(c[:, :, :-k]), z, k) for k, w in enumerate(self.predictors, start=2)]
        losses, right = (torch.stack(values) for values in zip(*found, strict=True))
        return Output(losses.mean(), metrics={"accuracy": right.mean()})

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return super().encode(to_gray(images), stage)
