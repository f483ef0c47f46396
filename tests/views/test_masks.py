"""How many patches are hidden, and a mask on finer and coarser grids."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_pipelines.views.masks import draw_masking, mask_at


@pytest.mark.parametrize(
    ("places", "fraction", "hidden"), [(64, 0.75, 48), (16, 0.6, 10), (36, 0.6, 22), (16, 0.999, 15), (16, 0.01, 1)]
)
def test_as_many_are_hidden_as_the_fraction_says_rounded_up_and_never_all(places, fraction, hidden):
    torch.manual_seed(0)
    visible, restore, mask = draw_masking(torch.zeros(7, 3, 2, 2), places, fraction)
    assert mask.sum(1).tolist() == [hidden] * 7
    assert visible.shape == (7, places - hidden)
    assert restore.shape == (7, places)
    assert hidden == min(math.ceil(fraction * places), places - 1)


def test_every_place_is_hidden_equally_often():
    torch.manual_seed(0)
    _, _, mask = draw_masking(torch.zeros(4000, 1), 16, 0.75)
    assert (mask.mean(0) - 0.75).abs().max() < 0.03


@pytest.mark.parametrize(("side", "other"), [(4, 4), (4, 8), (3, 12), (4, 2), (8, 2), (6, 2)])
def test_a_mask_at_another_scale_by_loops(side, other):
    mask = (torch.rand(3, side * side, generator=torch.Generator().manual_seed(1)) < 0.6).float()
    found = mask_at(mask, side, other)
    for b in range(3):
        for y in range(other):
            for x in range(other):
                if other >= side:  # the place that this one lies in
                    expected = mask[b, (y * side // other) * side + x * side // other].item()
                else:  # the mean of the places that lie in this one
                    n = side // other
                    inside = [mask[b, (y * n + i) * side + x * n + j].item() for i in range(n) for j in range(n)]
                    expected = sum(inside) / len(inside)
                assert found[b, y * other + x].item() == pytest.approx(expected)


def test_coarse_cells_of_a_checkered_mask_are_half_hidden_and_other_shares_are_quarters():
    checkered = torch.tensor([[(x + y) % 2 for y in range(4) for x in range(4)]], dtype=torch.float32)
    assert mask_at(checkered, 4, 2).tolist() == [[0.5] * 4]
    drawn = mask_at((torch.rand(200, 16) < 0.5).float(), 4, 2)
    assert set(drawn.unique().tolist()) == {0, 0.25, 0.5, 0.75, 1}


def test_finer_and_back_is_the_mask():
    mask = (torch.rand(3, 16) < 0.5).float()
    assert torch.equal(mask_at(mask_at(mask, 4, 12), 12, 4), mask)
