"""Shrinking and enlarging, against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_pipelines.views.pixelate import draw_sides, pixelated, pixelation_matrices


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def resized(x: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)


@pytest.mark.parametrize("size", [8, 24])
def test_each_patch_is_shrunk_to_its_side_and_back(size):
    sides = torch.arange(2, size + 1)
    patches = torch.rand(len(sides), 3, size, size, generator=seeded())
    found = pixelated(patches, sides, pixelation_matrices(size))
    for patch, side, one in zip(patches, sides.tolist(), found, strict=True):
        expected = patch if side == size else resized(resized(patch[None], side), size)[0]
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "least"), [(4, 2), (8, 2), (24, 3), (96, 10)])
def test_a_third_is_hit_and_the_area_is_uniform(size, least):
    sides = draw_sides(40_000, size, 0.33, seeded())
    hit = sides[sides < size]
    assert len(hit) / 40_000 == pytest.approx(0.33, abs=0.01)
    assert hit.min() == least
    assert hit.max() == (size - 2 if size > 4 else 2)  # the square root is rounded down, as the authors do
    if size == 96:
        assert hit.double().square().mean() == pytest.approx((10**2 + 95**2) / 2, rel=0.03)


def test_none_or_all():
    assert (draw_sides(100, 8, 0.0, seeded()) == 8).all()
    assert (draw_sides(100, 8, 1.0, seeded()) < 8).all()
    assert (draw_sides(100, 2, 1.0, seeded()) == 2).all(), "two px stay two px"
