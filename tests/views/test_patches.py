"""Patches cut from a grid, against slices and loops."""

from __future__ import annotations

import torch

from ssl_pipelines.views import ViewRecipe
from ssl_pipelines.views.draw import draw
from ssl_pipelines.views.engine import render
from ssl_pipelines.views.patches import cut_patches, patch_corners, patch_orders, recolor_patches


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_patches_lie_anywhere_inside_their_cells_row_by_row():
    corners = patch_corners(500, 3, cell=8, size=5, random=seeded())
    assert corners.shape == (500, 9, 2)
    for t in range(9):
        offsets = corners[:, t] - torch.tensor([8 * (t // 3), 8 * (t % 3)])
        assert sorted({tuple(o) for o in offsets.tolist()}) == [(y, x) for y in range(4) for x in range(4)]


def test_without_room_patches_are_the_grid_and_cells_may_overlap():
    fixed = patch_corners(2, 7, cell=8, size=8, random=seeded(), stride=4)
    assert fixed[0].tolist() == [[4 * y, 4 * x] for y in range(7) for x in range(7)]
    assert torch.equal(fixed[0], fixed[1])


def test_a_patch_is_the_slice_at_its_corner():
    images = torch.rand(3, 2, 20, 24, generator=seeded())
    corners = torch.randint(0, 16, (3, 4, 2), generator=seeded(1))
    found = cut_patches(images, corners, 5)
    assert found.shape == (3, 4, 2, 5, 5)
    for b in range(3):
        for t in range(4):
            y, x = corners[b, t].tolist()
            assert torch.equal(found[b, t], images[b, :, y : y + 5, x : x + 5])


def test_orders_are_permutations_one_an_image():
    orders = patch_orders(64, 9, seeded())
    assert torch.equal(orders.sort(1).values, torch.arange(9).expand(64, 9))
    assert len({tuple(row) for row in orders.tolist()}) > 60


def test_equal_seeds_give_equal_draws():
    for make in (lambda r: patch_corners(4, 3, 8, 5, r), lambda r: patch_orders(4, 9, r)):
        assert torch.equal(make(seeded(1)), make(seeded(1)))
        assert not torch.equal(make(seeded(1)), make(seeded(2)))


def test_colors_are_those_of_a_batch_of_patches_and_shares_are_rows_of_it():
    recipe = ViewRecipe(crop="none", flip=0, jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grayscale=0.2)
    patches = torch.rand(4, 9, 3, 6, 6, generator=seeded())
    whole = recolor_patches(patches, recipe, seeded(3), slice(0, 4), 4)
    drawn = draw(recipe, 36, 6, 6, seeded(3), size=6, channels=3)
    torch.testing.assert_close(whole.flatten(0, 1), render(patches.flatten(0, 1), drawn, recipe, 6))
    assert (whole - patches).abs().amax((2, 3, 4)).gt(1e-3).float().mean() > 0.6
    for rows in (slice(0, 2), slice(2, 4)):
        torch.testing.assert_close(recolor_patches(patches[rows], recipe, seeded(3), rows, 4), whole[rows])
