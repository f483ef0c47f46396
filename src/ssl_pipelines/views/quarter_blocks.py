"""One block of exactly a quarter of a square image, and the three quarters that it leaves."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Where = Literal["corners", "corners_and_center", "any"]


def quarter_corners(side: int, where: Where) -> Tensor:
    """(P, 2) int64: top and left, in places of a map of side 2 `side`, of the blocks of side `side` to draw from."""
    ends = torch.tensor([0, side])
    if where == "any":
        ends = torch.arange(side + 1)
    corners = torch.cartesian_prod(ends, ends)  # (P, 2)
    if where == "corners_and_center":
        corners = torch.cat([corners, torch.full((1, 2), side // 2)])
    return corners


def hidden_places(corners: Tensor, side: int) -> Tensor:
    """(B, 2) top and left of blocks of side `side` -> (B, 2 side, 2 side) with 1 outside the block."""
    place = torch.arange(2 * side, device=corners.device)
    inside = (place >= corners.unsqueeze(2)) & (place < corners.unsqueeze(2) + side)  # (B, 2, 2 side)
    return 1 - (inside[:, 0].unsqueeze(2) & inside[:, 1].unsqueeze(1)).float()
