"""Holes: where they are, how large, and that they differ. Pathak et al. 2016, section 3.3."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.views.holes import block_holes, center_hole, region_holes, rim


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("size", "side"), [(32, 14), (16, 6), (28, 12), (15, 5)])
def test_the_central_hole_is_a_square_in_the_middle(size, side):
    hole = center_hole(size, side)[0, 0]
    rows, columns = np.nonzero(hole.numpy())
    assert hole.sum() == side * side
    assert rows.min() + rows.max() == size - 1
    assert columns.min() + columns.max() == size - 1


def test_blocks_are_squares_that_cover_at_most_a_quarter():
    drawn = noise(300, 4, 3)
    holes = block_holes(drawn, 32)
    assert holes.shape == (300, 1, 32, 32)
    assert set(holes.unique().tolist()) == {0.0, 1.0}
    share = holes.mean((1, 2, 3))
    assert share.max() <= 0.25
    assert 0.08 < share.mean() < 0.2
    assert len({tuple(hole.flatten().tolist()) for hole in holes}) == 300, "holes of an image's own"
    for b in range(20):  # the same squares by slicing
        oracle = np.zeros((32, 32))
        for u, v, w in drawn[b].tolist():
            side = 4 + int(u * 5)
            top, left = int(v * (33 - side)), int(w * (33 - side))
            oracle[top : top + side, left : left + side] = 1
        np.testing.assert_array_equal(holes[b, 0].numpy(), oracle)
    assert block_holes(torch.full((1, 4, 3), 1 - 2**-24), 32).sum() == 64, "noise next to 1 stays within the image"


def test_regions_have_exactly_their_share_and_hang_together():
    holes = region_holes(noise(50, 8, 8), 32, 0.25)
    assert (holes.sum((1, 2, 3)) == 256).all()
    assert len({tuple(hole.flatten().tolist()) for hole in holes}) == 50
    # Of white noise at a quarter a pixel's right neighbor is like it in 0.25^2 + 0.75^2 = 62% of cases.
    alike = (holes[..., 1:] == holes[..., :-1]).float().mean()
    assert alike > 0.85
    everywhere = holes.mean(0)[0]
    assert everywhere.min() > 0  # no place is spared
    assert everywhere.max() < 0.7


def test_region_share_holds_in_flat_noise():
    assert region_holes(torch.full((1, 8, 8), 0.5), 16, 0.1).sum() == 26


def test_the_rim_is_what_a_wider_square_adds():
    for width in (1, 2):
        assert torch.equal(rim(center_hole(16, 6), width), center_hole(16, 6 + 2 * width) - center_hole(16, 6))
    assert rim(center_hole(16, 6), 0).sum() == 0
