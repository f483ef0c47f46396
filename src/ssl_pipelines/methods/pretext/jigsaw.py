"""Jigsaw: nine tiles of an image are shuffled; by which permutation? Noroozi & Favaro, ECCV 2016, arXiv:1603.09246.

The permutation is one of a set that is far apart, drawn anew for each image and visit. Each tile lies at a random place of its cell,
passes one trunk alone, and the nine features in their shuffled order are classified together. Tiles have mean 0 and standard deviation
1 each, some of the images are gray, and the channels of each tile of the others are shifted against each other, so that neither
brightness nor color nor a lens tells where a tile lay.
Differs: cells of 10 px and tiles of 8 where images have 32 px, channels move by 1 px there; the trunk is the run's encoder with at most 4
px a place, with batch norm where the paper has dropout, and narrower heads. Statistics are a channel's of a tile. 30% of the images are
gray, and channels move to both sides on both axes; the authors' released code does neither. AdamW at 1e-3 and batches of 64 suit a short
run (SGD at 0.01, 256).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.algorithms.permutations import distant_permutations
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import local_rows, world_size
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.flat_map import flat_map_dim
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.views.aberration import shift_channels
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.montage import stitch
from ssl_pipelines.views.patch_levels import standardized
from ssl_pipelines.views.patch_places import roaming_corners
from ssl_pipelines.views.patches import cut_patches
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

GRID = 3  # tiles a side
GRAY = 1e-4  # channels that differ by less count as equal, since graying rounds


class Jigsaw(Method):
    class Config(MethodConfig):
        name: Literal["jigsaw"] = "jigsaw"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.0, grayscale=0.3))
        permutations: int = Field(default=64, ge=2, le=5000)
        """Number of permutations to tell apart; 64 to 1,000 in the paper. More make the puzzle harder."""
        tile_fraction: float = Field(default=64 / 85, ge=0.25, le=1)
        """Side of a tile as a share of its cell's; 64 of 85 px in the paper. Smaller tiles leave larger gaps, through which no edge
        runs."""
        channel_shift: int | None = Field(default=None, ge=0, le=16)
        """Largest shift in px of a tile's channels against each other, to all sides; null is 2 of 64 px of a tile, at least 1. It
        hides chromatic aberration."""
        tile_dim: int = Field(default=256, ge=8, le=8192)
        """Width of a tile's feature (fc6). The paper takes 512."""
        hidden_dim: int = Field(default=1024, ge=8, le=8192)
        """Width of the layer over all nine tiles (fc7). The paper takes 4096."""

    config: Config
    permutations: Tensor
    compares_within_batch = False
    judged_at = "best"
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=4),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=1e-4),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.cell = parts.image_size // GRID  # px
        self.tile = round(self.cell * config.tile_fraction)  # px
        self.shift = max(1, round(self.tile / 32)) if config.channel_shift is None else config.channel_shift
        if self.tile < 2 or 2 * self.shift >= self.tile:
            found = f"methods.jigsaw: tiles of {self.tile} px (tile_fraction={config.tile_fraction:.3g} of cells of {self.cell} px)"
            raise InputError(f"{found} are too small for channel_shift={self.shift}; less than half a tile is allowed")
        self.encoder = parts.build_encoder()
        into, d = flat_map_dim(self.encoder, self.tile), config.tile_dim
        self.projection = nn.Sequential(nn.Linear(into, d, bias=False), BatchNorm(d), nn.ReLU(inplace=True))  # fc6
        self.classifier = mlp([GRID * GRID * d, config.hidden_dim, config.permutations], last_norm=False)
        self.register_buffer("permutations", distant_permutations(GRID * GRID, config.permutations))  # (K, 9)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        tiles, labels = self.tiles(batch.views["global"][0])
        logits = self.solve(standardized(self.shuffled(tiles, labels)))  # (B, K)
        return Output(F.cross_entropy(logits, labels), metrics={"accuracy": (logits.argmax(1) == labels).float().mean()})

    def tiles(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) -> (B, 9, C, P, P) row by row, each from a random place of its cell; (B,) which permutation is drawn."""
        random = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        total, device = len(images) * world_size(), images.device
        mine, shape = local_rows(total), (total, GRID * GRID, images.shape[1], 2)
        labels = torch.randint(self.config.permutations, (total,), generator=random)[mine]
        corners = roaming_corners(total, GRID, self.cell, self.tile, images.shape[-1], random)[mine]
        shifts = torch.randint(-self.shift, self.shift + 1, shape, generator=random)[mine]
        tiles = cut_patches(images, to_device(corners, device), self.tile)
        if images.shape[1] > 1:
            colored = (images.amax(1) - images.amin(1)).amax((1, 2)) > GRAY  # (B,); a gray tile moved apart would show colors again
            tiles = shift_channels(tiles, to_device(shifts, device) * colored.view(-1, 1, 1, 1))
        return tiles, to_device(labels, device)

    def shuffled(self, tiles: Tensor, labels: Tensor) -> Tensor:
        """(B, 9, C, P, P), (B,) -> at place k the tile of place permutations[label, k]."""
        return reordered(tiles, self.permutations[labels])

    def solve(self, tiles: Tensor) -> Tensor:
        """standardized (B, 9, C, P, P) -> logits (B, K) of the permutations."""
        as_pixels = tiles * self.encoder.std + self.encoder.mean  # the encoder's own normalization undoes this
        each = self.projection(self.encoder.map(as_pixels.flatten(0, 1)).flatten(1))  # (9 B, D)
        logits: Tensor = self.classifier(each.reshape(len(tiles), -1))
        return logits

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """A row an image: the puzzle, as the network solves it, as it is solved."""
        tiles, labels = self.tiles(batch.views["global"][0][:8])
        puzzle = self.shuffled(tiles, labels)
        found = self.permutations[self.solve(standardized(puzzle)).argmax(1)]
        solved = reordered(puzzle, found.argsort(1))
        return {"jigsaws": torch.stack([stitch(x, 1) for x in (puzzle, solved, tiles)], 1).flatten(0, 1)}


def reordered(tiles: Tensor, order: Tensor) -> Tensor:
    """(B, T, ...), (B, T) -> at place k the tile of place order[k]; undone by order.argsort(1)."""
    image = torch.arange(len(tiles), device=tiles.device).unsqueeze(1)
    return tiles[image, order]
