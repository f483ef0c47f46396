"""Block-wise masks: rectangles of patches, hidden together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TRIES = 10  # of one rectangle


def block_masks(
    targets: Tensor, height: int, width: int, least: int, aspect: float = 0.3, random: torch.Generator | None = None
) -> Tensor:
    """targets (B,): places to hide in each image -> (B, height, width) bool, True where hidden; so many, or a few less.

    Rectangles with an area of U(least, what is missing) and an aspect log-uniform from `aspect` to 1 / `aspect` are put at random
    places, until nothing is missing or ten in a row would hide nothing new or too much. Bao et al. 2022 (BEiT), arXiv:2106.08254,
    algorithm 1, with the tries of the authors' code. Differs: an image that has a target of 1 or more is tried until something of it
    is hidden. On the CPU: the numbers are the same whatever device the training runs on."""
    assert height > 1, "a rectangle is smaller than the grid"
    assert width > 1, "a rectangle is smaller than the grid"
    hidden = torch.zeros(len(targets), height, width, dtype=torch.bool)
    count, failed = torch.zeros_like(targets), torch.zeros_like(targets)
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    while True:
        missing = targets - count
        going = (missing >= 1) & ((failed < TRIES) | (count == 0))
        if not going.any():
            return hidden
        drawn = torch.rand(4, len(targets), generator=random)
        area = least + drawn[0] * (missing - least)  # below `least` where fewer places are left to hide
        ratio = ((2 * drawn[1] - 1) * math.log(1 / aspect)).exp()
        h, w = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        top, left = (drawn[2] * (height - h + 1)).floor().view(-1, 1, 1), (drawn[3] * (width - w + 1)).floor().view(-1, 1, 1)
        down, across = (rows >= top) & (rows < top + h.view(-1, 1, 1)), (columns >= left) & (columns < left + w.view(-1, 1, 1))
        new = down & across & ~hidden
        added = new.sum((1, 2))
        taken = going & (h < height) & (w < width) & (added > 0) & (added <= missing)
        hidden |= new & taken.view(-1, 1, 1)
        count += added * taken
        failed = torch.where(taken, 0, failed + 1)
