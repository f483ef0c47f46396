"""CPC v2: CPC with more of everything that made it work. Hénaff et al., ICML 2020, arXiv:1905.09272.

Patches are augmented one by one, encoded alone by a trunk with layer norm (statistics of a batch would tie them together), and
predicted from all four sides: the grid is turned, and each direction has a context network and predictors of its own.
Differs: the trunk is the run's ResNet with layer norm; 5 x 5 patches of 10 px (of 32), as ports to CIFAR-10 take, where the paper has
larger ones that overlap more; every number of rows from 2 to `steps` + 1 is predicted; patches lose color, are mirrored, jittered,
shifted and turned, the paper's elastic and shearing transforms are left out; the learning rate suits a short run.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.distributed import local_rows, rand_rows, world_size
from ssl_pipelines.losses.grid_nce import grid_nce
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.patch_prediction import RECIPE, PatchPredictionConfig
from ssl_pipelines.networks.context import RowContext
from ssl_pipelines.networks.patch_grid import PatchGrid
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.engine import render
from ssl_pipelines.views.plan import ViewRecipe

PATCHES = ViewRecipe(
    crop="padded",
    padding=1,
    flip=0.5,
    jitter=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    grayscale=0.2,
    rotation=15,
)


class Direction(nn.Module):
    """Context and predictors: (B, D, H, W), targets (B, T, H, W) -> for each k from 2 the prediction of k rows below, (B, T, H - k, W)."""

    def __init__(self, dim: int, hidden_dim: int, depth: int, target_dim: int, steps: int):
        super().__init__()
        self.context = RowContext(dim, hidden_dim, depth)
        self.predictors = nn.ModuleList(nn.Conv2d(dim, target_dim, 1) for _ in range(steps))

    def forward(self, z: Tensor) -> list[Tensor]:
        c = self.context(z)
        return [0.1 * predictor(c[:, :, :-k]) for k, predictor in enumerate(self.predictors, start=2)]


class CPCv2(Method):
    class Config(PatchPredictionConfig):
        trunk_norm = "layer"

        name: Literal["cpc_v2"] = "cpc_v2"
        patch_recipe: ViewRecipe = PATCHES
        """Random transforms of each patch by itself."""
        color_drop: float = Field(default=0.5, ge=0, le=1)
        """Chance, 0 to 1, that a patch keeps one of its three channels alone; images of three channels only. Lower it where color
        tells classes apart."""
        target_dim: int = Field(default=64, ge=2, le=4096)
        """Width of the vectors that are predicted. The paper takes 64."""
        context_depth: int = Field(default=5, ge=1, le=32)
        """Number of residual blocks of each context network; each sees one row more above."""
        shared_directions: bool = False
        """Whether the four directions share one context network and predictors. Turn it on to save weights."""

    config: Config
    encoder: PatchGrid
    needs = ("resnet",)
    recipe = RECIPE

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = PatchGrid(parts.build_encoder(norm=config.trunk_norm, stem="small"), config.grid, parts.image_size)
        self.to_target = nn.Conv2d(self.encoder.dim, config.target_dim, 1)
        sizes = (self.encoder.dim, config.context_dim, config.context_depth, config.target_dim, config.steps)
        self.directions = nn.ModuleList(Direction(*sizes) for _ in range(1 if config.shared_directions else 4))

    def loss(self, batch: Batch, clock: Clock) -> Output:
        patches = self.augmented(self.encoder.patches(batch.views["global"][0]))
        z = self.encoder.encode_patches(patches)  # (B, D, grid, grid)
        losses, right = (torch.stack(values) for values in zip(*self.four_sides(z, self.to_target(z)), strict=True))
        return Output(losses.mean(), metrics={"accuracy": right.mean()})

    def four_sides(self, z: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each quarter turn and each k: the loss of predicting k rows below, and its accuracy."""
        found = []
        for turn in range(4):
            direction = self.directions[turn % len(self.directions)]
            z_turned, targets_turned = torch.rot90(z, turn, (2, 3)), torch.rot90(targets, turn, (2, 3))
            found += [grid_nce(predicted, targets_turned, k) for k, predicted in enumerate(direction(z_turned), start=2)]
        return found

    def augmented(self, patches: Tensor) -> Tensor:
        """(B, grid, grid, C, P, P) -> the same, each patch transformed on its own."""
        x, recipe = patches.flatten(0, 2), self.config.patch_recipe
        (n, c, side), total = x.shape[:3], len(x) * world_size()
        random = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        drawn = draw(recipe, total, side, side, random, size=side, channels=c).rows(local_rows(total), x.device)
        x = render(x.contiguous(), drawn, recipe, side)
        if c == 3:
            noise = rand_rows(n, 2, device=x.device)
            kept = torch.arange(3, device=x.device) == (noise[:, :1] * 3).long()  # (n, 3)
            kept = (kept | (noise[:, 1:] >= self.config.color_drop)).view(n, 3, 1, 1)
            x = torch.where(kept, x, self.encoder.trunk.mean.to(x.dtype))  # the mean, which the trunk normalizes to 0
        return x.view(patches.shape)
