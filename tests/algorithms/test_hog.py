"""Histograms of oriented gradients against scipy's Sobel filter and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from ssl_pipelines.algorithms.hog import glyphs, hog
from ssl_pipelines.views.geometry import sample


def by_loops(image: np.ndarray, cell: int, bins: int) -> np.ndarray:
    """(C, H, W) -> (T, C * bins). An orientation lies between the bins' edges, counted from vertical gradients on."""
    channels, height, width = image.shape
    rows = []
    for top in range(0, height, cell):
        for left in range(0, width, cell):
            row = []
            for c in range(channels):
                down, across = (ndimage.sobel(image[c], axis=axis, mode="mirror") for axis in (0, 1))
                votes = [0.0] * bins
                for y in range(top, top + cell):
                    for x in range(left, left + cell):
                        degrees = math.degrees(math.atan2(across[y, x], down[y, x])) % 180
                        votes[int(degrees // (180 / bins))] += math.hypot(across[y, x], down[y, x])
                length = math.sqrt(sum(v * v for v in votes))
                row += [v / length for v in votes]
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(("cell", "bins"), [(2, 9), (4, 9), (8, 9), (4, 18), (4, 6)])
def test_histograms_are_those_of_the_loops(cell, bins):
    images = np.random.default_rng(0).normal(size=(2, 3, 16, 8))
    found = hog(torch.tensor(images), cell, bins).numpy()
    assert found.shape == (2, 128 // cell**2, 3 * bins)
    for b in range(2):
        np.testing.assert_allclose(found[b], by_loops(images[b], cell, bins), rtol=1e-9, atol=1e-12)


def test_a_flat_image_is_zero_and_flat_cells_of_others_are():
    assert hog(torch.full((1, 3, 8, 8), 0.7), 4).abs().max() == 0
    images = torch.zeros(1, 1, 8, 8)
    images[..., 6:, 6:] = 1
    lengths = hog(images, 4).norm(dim=2)
    torch.testing.assert_close(lengths, torch.tensor([[0.0, 0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("degrees", [10, 35, 90.5, 130, 170])
def test_a_ramp_has_one_orientation_which_brightness_contrast_and_sign_do_not_change(degrees):
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ramp = math.sin(math.radians(degrees)) * x + math.cos(math.radians(degrees)) * y
    inside = hog(ramp.view(1, 1, 16, 16), 4).view(4, 4, 9)[1:3, 1:3]  # the mirrored edges bend the others
    expected = torch.zeros(9)
    expected[int(degrees // 20)] = 1
    torch.testing.assert_close(inside, expected.expand(2, 2, 9))
    for other in (3 * ramp + 7, -ramp):
        torch.testing.assert_close(hog(other.view(1, 1, 16, 16), 4).view(4, 4, 9)[1:3, 1:3], inside)


def test_a_vertical_edge_is_drawn_as_a_vertical_line():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 4:] = 1
    [[star]] = glyphs(hog(images, 8, 18), 1, 9, 18)
    assert star.min() >= 0
    assert star.max() <= 1
    assert star[:, 4].mean() > 3 * star[:, [0, 8]].mean()
    assert star[4, :].mean() < star[:, 4].mean()


def test_stars_stand_row_by_row():
    rows = torch.zeros(1, 4, 9)
    rows[0, 1] = 1  # the top right cell
    [[picture]] = glyphs(rows, 2, 8)
    assert picture.shape == (16, 16)
    assert (picture[:8, 8:] > 0.3).all()
    assert not picture[8:].any()
    assert not picture[:, :8].any()


def test_rounding_in_a_resampled_flat_image_is_no_gradient():
    flat = sample(torch.full((4, 3, 32, 32), 0.3), torch.tensor([[3.3, 1.7, 20.1, 23.9]] * 4), torch.zeros(4, dtype=torch.bool), 32)
    normal = (flat - 0.5) / 0.25
    assert (hog(normal, 4) != 0).any(), "nothing to test: no rounding here"
    assert hog(normal, 4).norm(dim=2).max() < 0.05
