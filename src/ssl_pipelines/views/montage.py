"""Pictures put together from tiles."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def stitch(tiles: Tensor, gap: int = 0) -> Tensor:
    """(B, g g, C, P, P), row by row -> (B, C, g P + (g - 1) gap, the same), with white lines of `gap` px between the tiles."""
    grid, channels, side = round(tiles.shape[1] ** 0.5), tiles.shape[2], tiles.shape[3] + gap
    padded = F.pad(tiles, (0, gap, 0, gap), value=1.0).unflatten(1, (grid, grid))  # (B, g, g, C, Q, Q)
    whole = padded.permute(0, 3, 1, 4, 2, 5).reshape(len(tiles), channels, grid * side, grid * side)
    return whole[:, :, : grid * side - gap, : grid * side - gap]
