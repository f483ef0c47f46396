"""Where the patches of a grid lie when the grid itself has no fixed place."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.views.patches import patch_corners


def roaming_corners(
    batch: int, grid: int, cell: int, size: int, side: int, random: torch.Generator, *, stride: int | None = None
) -> Tensor:
    """-> (B, grid grid, 2) int64: `patch_corners` of a grid that lies anywhere in an image of `side` px, another place an image."""
    room = side - grid_extent(grid, cell, stride)
    assert room >= 0, (grid, cell, stride, side)
    origin = torch.randint(0, room + 1, (batch, 1, 2), generator=random)
    return origin + patch_corners(batch, grid, cell, size, random, stride=stride)


def grid_extent(grid: int, cell: int, stride: int | None = None) -> int:
    """px from the first cell's beginning to the last one's end."""
    return (grid - 1) * (stride or cell) + cell
