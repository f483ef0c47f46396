"""Masked convolutions against the definition in words, pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.networks.pixel_conv import PixelConv2d, color_of


def test_colors_have_equal_parts_in_order():
    assert color_of(3, 3).tolist() == [0, 1, 2]
    assert color_of(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert color_of(8, 2, repeats=2).tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert color_of(5, 1).tolist() == [0] * 5


@pytest.mark.parametrize("kind", ["A", "B"])
@pytest.mark.parametrize(("above", "side"), [(2, 2), (1, 1), (0, 2), (0, 0)])
@pytest.mark.parametrize("colors", [1, 3])
def test_a_place_sees_what_the_order_allows_and_nothing_else(kind, above, side, colors):
    """The Jacobian's support is exactly the set that the docstring names."""
    torch.manual_seed(0)
    conv = PixelConv2d(3, 6, kind, colors, above=above, side=side).double()
    x = torch.randn(1, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    i, j = 3, 2
    y = conv(x)
    assert y.shape == (1, 6, 5, 6)
    for channel in range(6):
        made = channel * colors // 6
        [grad] = torch.autograd.grad(y[0, channel, i, j], x, retain_graph=True)
        for given in range(3):
            for r in range(5):
                for c in range(6):
                    color = given * colors // 3
                    own = color < made if kind == "A" else color <= made
                    rows_above = 0 < i - r <= above and abs(c - j) <= side
                    left = r == i and 0 < j - c <= side
                    wanted = rows_above or left or (own and (r, c) == (i, j))
                    assert (grad[0, given, r, c] != 0) == wanted, (channel, given, r, c)


def test_gates_are_cut_each_by_itself():
    conv = PixelConv2d(3, 12, "B", 3, repeats=4)
    wanted = [[1, 0, 0], [1, 1, 0], [1, 1, 1]] * 4
    assert conv.mask[:, :, 0, 0].tolist() == wanted


def test_a_row_alone_is_that_row_of_the_whole():
    conv = PixelConv2d(2, 4, "A", above=3, side=3)
    x = torch.randn(2, 2, 7, 5)
    whole = conv(x)
    for i in range(7):
        torch.testing.assert_close(conv.row(x, i), whole[:, :, i : i + 1])


def test_what_is_masked_stays_masked_after_a_step():
    conv = PixelConv2d(3, 3, "A", 3, above=1, side=1)
    x = torch.randn(1, 3, 4, 4, requires_grad=True)
    with torch.no_grad():
        conv.weight.add_(1.0)  # an optimizer with weight decay or momentum may write anything
    conv(x)[0, 0, 2, 2].backward()
    assert (x.grad[0, :, 2, 2:] == 0).all()
    assert (x.grad[0, :, 3] == 0).all()
