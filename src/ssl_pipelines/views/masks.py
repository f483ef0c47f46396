"""Which patches of an image are hidden: one function a scheme, and a mask at another scale."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import rand_rows


def random_masking(noise: Tensor, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """noise (B, T) -> visible places (B, keep), the inverse order (B, T), mask (B, T) with 1 where hidden; a mask an image.

    He et al. 2022 (MAE), arXiv:2111.06377, section 3."""
    order = noise.argsort(1)
    restore = order.argsort(1)
    return order[:, :keep], restore, (restore >= keep).float()


def draw_masking(like: Tensor, places: int, fraction: float) -> tuple[Tensor, Tensor, Tensor]:
    """`random_masking` of the images `like` (B, ...), places * (1 - fraction) places of each visible, cut to a whole number
    (in floats, as MAE's authors cut it: 25 places at 0.8 leave 4), but one at least."""
    keep = max(1, int(places * (1 - fraction)))
    return random_masking(rand_rows(len(like), places, device=like.device), keep)


def mask_at(mask: Tensor, side: int, other: int) -> Tensor:
    """(B, side^2) -> (B, other^2), row-major: each place repeated on a finer grid, the mean of its places on a coarser one.

    One of the two sides is a multiple of the other."""
    grid = mask.unflatten(1, (1, side, side))  # (B, 1, side, side)
    if other >= side:
        assert other % side == 0, (side, other)
        return grid.repeat_interleave(other // side, 2).repeat_interleave(other // side, 3).flatten(1)
    assert side % other == 0, (side, other)
    return F.avg_pool2d(grid, side // other).flatten(1)
