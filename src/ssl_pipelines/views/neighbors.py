"""Neighbors in a grid of patches."""

from __future__ import annotations

import torch
from torch import Tensor

DIRECTIONS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]  # NW N NE W E SW S SE, down and right


def neighbors(grid: int) -> tuple[Tensor, Tensor]:
    """-> (K, 2): first and second of all ordered pairs of neighbors in a grid, row by row; (K,): the second's place in DIRECTIONS."""
    found = [
        (row * grid + column, (row + down) * grid + column + right, label)
        for row in range(grid)
        for column in range(grid)
        for label, (down, right) in enumerate(DIRECTIONS)
        if 0 <= row + down < grid and 0 <= column + right < grid
    ]
    table = torch.tensor(found)
    return table[:, :2], table[:, 2]
