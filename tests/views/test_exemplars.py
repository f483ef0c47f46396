"""Seeds and transforms: weights against NumPy's gradient, draws against their odds, geometry against slices, colors against loops."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.views.exemplars import TransformRanges, Transforms, cut, draw_seeds, gradient_energy, recolored

STILL = {"shift": 0, "scale": (1, 1), "rotation": 0, "component": (1, 1), "power": (1, 1), "factor": (1, 1), "offset": 0, "hue": 0}


def transforms(count: int = 1, channels: int = 3, **fields: torch.Tensor) -> Transforms:
    drawn = Transforms.of(torch.rand(count, Transforms.size(channels)), TransformRanges(**STILL))
    return Transforms(**({name: getattr(drawn, name) for name in Transforms.__dataclass_fields__} | fields))


def images(count: int = 2, channels: int = 3, size: int = 12) -> torch.Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_energy_equals_numpys_gradient():
    x = images(size=11)
    found = gradient_energy(x, side=4, stride=3)
    assert found.shape == (2, 9)
    for i in range(2):
        square = sum(part**2 for channel in x[i].numpy() for part in np.gradient(channel))
        places = [square[y : y + 4, z : z + 4].mean() for y in (0, 3, 6) for z in (0, 3, 6)]
        np.testing.assert_allclose(found[i], places, rtol=1e-12)


def test_a_ramp_is_even_and_a_flat_patch_nothing():
    ramp = torch.arange(12.0).view(1, 1, 1, 12).expand(1, 1, 12, 12) * 0.5
    torch.testing.assert_close(gradient_energy(ramp, 4, 2), torch.full((1, 25), 0.25))
    assert gradient_energy(torch.full((1, 3, 12, 12), 0.7), 4, 2).max() == 0


def test_seeds_are_drawn_in_proportion_and_without_repetition():
    energy, random = torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]), torch.Generator().manual_seed(0)
    first, place, pairs = np.zeros(4), np.zeros(2), np.zeros(4)
    for _ in range(4000):
        rows, places = draw_seeds(energy, 1, random)
        first[rows] += 1
        if rows == 0:
            place[places] += 1
        both, _ = draw_seeds(energy, 2, random)
        assert len(set(both.tolist())) == 2
        pairs[both] += 1
    np.testing.assert_allclose(first / 4000, [0.4, 0, 0.2, 0.4], atol=0.03)
    np.testing.assert_allclose(place / place.sum(), [0.25, 0.75], atol=0.04)
    p = np.array([0.4, 0, 0.2, 0.4])  # of being among two drawn one after the other without replacement
    among = [p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in (0, 2, 3) if j != i) for i in range(4)]
    np.testing.assert_allclose(pairs / 4000, among, atol=0.03)
    again = [draw_seeds(energy, 2, torch.Generator().manual_seed(7))[0].tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_without_motion_the_patch_is_cut_bit_for_bit_and_shifts_are_slices():
    x, corners = images(), torch.tensor([[2, 3], [4, 1]])
    still = cut(x, corners, 6, transforms(2))
    for k, (top, left) in enumerate(corners.tolist()):
        torch.testing.assert_close(still[k], x[k, :, top : top + 6, left : left + 6], rtol=0, atol=1e-6)
    moved = cut(x, corners, 6, transforms(2, shift=torch.tensor([[1 / 3, 0.0], [-1 / 6, 1 / 2]])))  # 2 down; 1 up, 3 right
    torch.testing.assert_close(moved[0], x[0, :, 4:10, 3:9], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[1], x[1, :, 3:9, 4:10], rtol=0, atol=1e-5)


def test_beyond_the_edge_the_image_is_mirrored():
    x = images(1)
    moved = cut(x, torch.zeros(1, 2, dtype=torch.int64), 12, transforms(shift=torch.tensor([[-1 / 6, 0.0]])))  # 2 px up
    torch.testing.assert_close(moved[0, :, 2:], x[0, :, :10], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[0, :, :2], x[0, :, :2].flip(1), rtol=0, atol=1e-5)


def test_a_quarter_turn_and_a_zoom():
    x, whole = images(1), torch.zeros(1, 2, dtype=torch.int64)
    torch.testing.assert_close(
        cut(x, whole, 12, transforms(angle=torch.tensor([90.0]))), torch.rot90(x, 1, (2, 3)), rtol=0, atol=1e-5
    )
    ramp = torch.arange(12.0, dtype=torch.float64).view(1, 1, 1, 12).expand(1, 1, 12, 12)
    zoomed = cut(ramp, whole, 12, transforms(scale=torch.tensor([2.0])))
    expected = 5.5 + (torch.arange(12.0, dtype=torch.float64) - 5.5) / 2  # the middle half, twice as large
    torch.testing.assert_close(zoomed[0, 0, 4], expected, rtol=0, atol=1e-5)


def test_factors_of_one_change_no_color():
    x = images()
    basis = torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    torch.testing.assert_close(recolored(x, transforms(2), torch.tensor([0.4, 0.5, 0.6]), basis), x, rtol=0, atol=1e-6)
    gray = images(channels=1)
    torch.testing.assert_close(recolored(gray, transforms(2, 1), torch.tensor([0.4]), torch.eye(1)), gray, rtol=0, atol=1e-6)


def test_colors_equal_the_loops():
    """The coordinates along the components times a factor each, then colorsys."""
    x = images(2, size=3) * 0.5 + 0.25
    drawn = Transforms.of(torch.rand(2, 14, generator=torch.Generator().manual_seed(2), dtype=torch.float64), TransformRanges())
    basis = torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    mean = torch.tensor([0.4, 0.5, 0.6], dtype=torch.float64)
    found = recolored(x, drawn, mean, basis)
    for i in range(2):
        for y in range(3):
            for z in range(3):
                coordinates = basis.numpy().T @ (x[i, :, y, z].numpy() - mean.numpy())
                color = (basis.numpy() @ (coordinates * drawn.component[i].numpy()) + mean.numpy()).clip(0, 1)
                h, s, v = colorsys.rgb_to_hsv(*color)
                s, v = (
                    min(1.0, max(0.0, part ** float(drawn.power[i, k]) * float(drawn.factor[i, k]) + float(drawn.offset[i, k])))
                    for k, part in enumerate((s, v))
                )
                np.testing.assert_allclose(found[i, :, y, z], colorsys.hsv_to_rgb((h + float(drawn.hue[i])) % 1, s, v), atol=1e-9)


def test_ranges_are_reached_and_not_left():
    ends = Transforms.of(torch.stack([torch.zeros(14), torch.ones(14), torch.full((14,), 0.5)]), TransformRanges())
    np.testing.assert_allclose(ends.shift[:, 0], [-0.2, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(ends.scale, [0.7, 1.4, (0.7 * 1.4) ** 0.5], rtol=1e-6)
    np.testing.assert_allclose(ends.angle, [-20, 20, 0], atol=1e-5)
    np.testing.assert_allclose(ends.component[:, 2], [0.5, 2, 1], rtol=1e-6)
    np.testing.assert_allclose(ends.power[:, 1], [0.25, 4, 1], rtol=1e-6)
    np.testing.assert_allclose(ends.factor[:, 0], [0.7, 1.4, (0.7 * 1.4) ** 0.5], rtol=1e-6)
    np.testing.assert_allclose(ends.offset[:, 1], [-0.1, 0.1, 0], atol=1e-6)
    np.testing.assert_allclose(ends.hue, [-0.1, 0.1, 0], atol=1e-6)
    with pytest.raises(InputError, match="power: two numbers low <= high"):
        TransformRanges.of({"power": (4, 0.25)}, "transforms")
