"""A grid without a fixed place."""

from __future__ import annotations

import torch

from ssl_pipelines.views.patch_places import grid_extent, roaming_corners


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_whole_grid_moves_and_stays_inside():
    corners = roaming_corners(2000, 3, cell=6, size=6, side=30, random=seeded(), stride=9)
    assert grid_extent(3, 6, 9) == 24
    assert corners.min() == 0
    assert corners.max() + 6 == 30
    moved = corners - corners[:, :1]
    assert torch.equal(moved, moved[:1].expand_as(moved)), "patches without room keep their distances"
    assert len({tuple(one) for one in corners[:, 0].tolist()}) == 49


def test_patches_move_in_their_cells_on_top_of_it():
    corners = roaming_corners(4000, 3, cell=10, size=8, side=32, random=seeded(), stride=11)
    offsets = corners - torch.tensor([[11 * (t // 3), 11 * (t % 3)] for t in range(9)])
    assert sorted({tuple(one) for one in offsets.flatten(0, 1).tolist()}) == [(y, x) for y in range(3) for x in range(3)]
    touching = roaming_corners(10, 3, cell=10, size=8, side=30, random=seeded())
    assert (touching - 10 * torch.tensor([[t // 3, t % 3] for t in range(9)])).max() <= 2
