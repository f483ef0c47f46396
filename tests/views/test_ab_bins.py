"""The bins of color against the authors' table and a slower construction, codes and means against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.views.ab_bins import ab_bins, annealed_mean, lightness_bins, smoothed_prior, soft_codes
from ssl_pipelines.views.lab import rgb_to_lab

# First and last b of every a in the table that the authors of arXiv:1603.08511 ship with their models.
ROWS = {
    -90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100), -20: (-50, 100),
    -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90), 50: (-100, 80), 60: (-110, 80),
    70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0),
}  # fmt: skip


def colors(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """ab (B, 2, h, w) of random colors, float64."""
    return rgb_to_lab(torch.rand(shape[0], 3, *shape[1:], generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[
        :, 1:
    ]


def test_there_are_313_and_they_are_the_authors():
    found = ab_bins()
    assert found.shape == (313, 2)
    assert found.tolist() == [[a, b] for a, (first, last) in ROWS.items() for b in range(first, last + 1, 10)]


def test_they_are_the_corners_of_the_squares_that_the_gamuts_hull_touches():
    """The same with another hull (Graham's by scipy, of every eighth color of the cube) and squares sampled point by point."""
    spatial = pytest.importorskip("scipy.spatial")
    level = torch.linspace(0, 1, 33, dtype=torch.float64)
    cube = torch.cartesian_prod(level, level, level).T[None, :, None]
    hull = spatial.ConvexHull(rgb_to_lab(cube)[0, 1:, 0].T.numpy()).equations
    step = np.linspace(0, 10, 21)
    corners = set()
    for a in range(-130, 130, 10):
        for b in range(-130, 130, 10):
            points = np.stack(np.meshgrid(a + step, b + step), axis=-1).reshape(-1, 2)
            if ((points @ hull[:, :2].T + hull[:, 2]).max(1) <= 0).any():
                corners |= {(a + i, b + j) for i in (0, 10) for j in (0, 10)}
    assert corners == {(int(a), int(b)) for a, b in ab_bins()}


def test_every_color_has_a_bin_near():
    ab = colors((1, 64, 64))
    nearest = ab_bins().double()[soft_codes(ab, ab_bins().double(), 1, 5.0)[0][:, 0]].permute(0, 3, 1, 2)
    assert (nearest - ab).abs().max() <= 5


@pytest.mark.parametrize("neighbors", [1, 5, 10])
def test_codes_equal_the_loops(neighbors):
    ab, bins = colors((2, 3, 4)), ab_bins().double()
    found, weights = soft_codes(ab, bins, neighbors, 5.0)
    assert found.shape == weights.shape == (2, neighbors, 3, 4)
    centers = bins.numpy()
    for i in range(2):
        for y in range(3):
            for x in range(4):
                square = [(float(ab[i, 0, y, x]) - a) ** 2 + (float(ab[i, 1, y, x]) - b) ** 2 for a, b in centers]
                order = sorted(range(313), key=square.__getitem__)[:neighbors]
                parts = [math.exp(-square[q] / 50) for q in order]
                assert found[i, :, y, x].tolist() == order
                np.testing.assert_allclose(weights[i, :, y, x], np.array(parts) / sum(parts), rtol=1e-9)


def test_a_bins_center_is_mostly_itself():
    center = torch.tensor([20.0, -30.0]).view(1, 2, 1, 1)
    found, weights = soft_codes(center, ab_bins(), 5, 5.0)
    assert ab_bins()[found[0, 0, 0, 0]].tolist() == [20, -30]
    other = math.exp(-2)  # four neighbors, two sigma away
    np.testing.assert_allclose(weights[0, :, 0, 0], np.array([1, *[other] * 4]) / (1 + 4 * other), rtol=1e-5)


def test_the_annealed_mean_equals_the_loops():
    logits = torch.randn(2, 313, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3
    found, centers = annealed_mean(logits, ab_bins(), 0.38), ab_bins().numpy()
    for i in range(2):
        for y in range(2):
            for x in range(2):
                row = logits[i, :, y, x].numpy()
                z = np.exp(row) / np.exp(row).sum()
                sharp = z ** (1 / 0.38)  # exp(log z / T)
                np.testing.assert_allclose(found[i, :, y, x], (sharp[:, None] * centers).sum(0) / sharp.sum(), rtol=1e-9)


def test_the_annealed_mean_lies_between_the_mode_and_the_mean():
    logits = torch.randn(1, 313, 1, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mode, mean = ab_bins()[logits.argmax(1)[0, 0, 0]], logits.softmax(1)[0, :, 0, 0] @ ab_bins().double()
    np.testing.assert_allclose(annealed_mean(logits, ab_bins(), 1.0)[0, :, 0, 0], mean, rtol=1e-9)
    np.testing.assert_allclose(annealed_mean(logits, ab_bins(), 1e-3)[0, :, 0, 0], mode, rtol=1e-6)


def test_the_smoothed_prior_equals_the_loops():
    counts = torch.tensor(np.random.default_rng(0).integers(0, 50, 313), dtype=torch.float64)
    found, centers, expected = smoothed_prior(counts, ab_bins().double(), 5.0), ab_bins().numpy(), np.zeros(313)
    for q in range(313):
        kernel = np.array([math.exp(-((centers[q] - centers[r]) ** 2).sum() / 50) for r in range(313)])
        expected += float(counts[q]) / float(counts.sum()) * kernel / kernel.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert float(found.sum()) == pytest.approx(1)


def test_lightness_has_fifty_bins_of_width_two():
    assert lightness_bins(torch.tensor([0.0, 1.99, 2.0, 50.0, 99.9, 100.0])).tolist() == [0, 0, 1, 25, 49, 49]
