"""Hue, saturation and value against Python's colorsys."""

from __future__ import annotations

import colorsys

import torch

from ssl_pipelines.views.hsv import hsv_to_rgb, rgb_to_hsv

LEVEL = torch.linspace(0, 1, 7, dtype=torch.float64)
COLORS = torch.cartesian_prod(LEVEL, LEVEL, LEVEL)  # grays and pure colors among them


def as_image(rows: torch.Tensor) -> torch.Tensor:
    return rows.T.reshape(1, 3, 1, -1)


def test_both_ways_equal_colorsys():
    found = rgb_to_hsv(as_image(COLORS))[0, :, 0].T
    expected = torch.tensor([colorsys.rgb_to_hsv(*row) for row in COLORS.tolist()], dtype=torch.float64)
    torch.testing.assert_close(found, expected)
    back = hsv_to_rgb(as_image(COLORS))[0, :, 0].T
    torch.testing.assert_close(back, torch.tensor([colorsys.hsv_to_rgb(*row) for row in COLORS.tolist()], dtype=torch.float64))


def test_there_and_back_and_whole_turns():
    torch.testing.assert_close(hsv_to_rgb(rgb_to_hsv(as_image(COLORS))), as_image(COLORS))
    turned = as_image(COLORS) + torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(hsv_to_rgb(turned), hsv_to_rgb(as_image(COLORS)))
