"""Grids of patches cut from whole batches of images on the device, and colors drawn for each patch."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.engine import render
from ssl_pipelines.views.plan import ViewRecipe


def patch_corners(batch: int, grid: int, cell: int, size: int, random: torch.Generator, *, stride: int | None = None) -> Tensor:
    """-> (B, grid grid, 2) int64: top and left of a patch of `size` px at a random place inside each cell, cells row by row.

    Cells are squares of `cell` px whose corners are `stride` px apart; None: they touch. Below `cell` they overlap (CPC)."""
    assert size <= cell, (size, cell)
    starts = torch.arange(grid) * (stride or cell)
    corners = torch.stack(torch.meshgrid(starts, starts, indexing="ij"), 2).flatten(0, 1)  # (T, 2)
    return corners + torch.randint(0, cell - size + 1, (batch, grid * grid, 2), generator=random)


def cut_patches(images: Tensor, corners: Tensor, size: int) -> Tensor:
    """(B, C, H, W), (B, T, 2) -> (B, T, C, size, size), bit for bit the pixels there."""
    step = torch.arange(size, device=images.device)
    rows, columns = corners[..., :1] + step, corners[..., 1:] + step  # (B, T, size)
    image = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1)
    cut = images.permute(0, 2, 3, 1)[image, rows.unsqueeze(3), columns.unsqueeze(2)]  # (B, T, size, size, C)
    return cut.permute(0, 1, 4, 2, 3)


def patch_orders(batch: int, patches: int, random: torch.Generator) -> Tensor:
    """(B, T) int64: a permutation an image."""
    return torch.rand(batch, patches, generator=random).argsort(1)


def recolor_patches(patches: Tensor, recipe: ViewRecipe, random: torch.Generator, rows: slice, batch: int) -> Tensor:
    """(B, T, C, P, P) -> the same after `recipe`, drawn for each patch on its own; `rows` of the global batch of `batch` images are these."""
    count, size = patches.shape[1], patches.shape[-1]
    drawn = draw(recipe, batch * count, size, size, random, size=size, channels=patches.shape[2])
    mine = drawn.rows(slice(rows.start * count, rows.stop * count), patches.device)
    return render(patches.flatten(0, 1), mine, recipe, size).unflatten(0, (-1, count))
