"""Cells finer and coarser than patches come from the patches that they lie in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_pipelines.networks.decoder import TokenDecoder
from ssl_pipelines.networks.scale_decoder import ScaleDecoder

SIDE, DIM, OUT = 4, 8, 3


class Given(nn.Module):
    """In place of a transformer: the tokens themselves."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(DIM)

    def forward(self, visible, restore, grid):
        return visible


def made(scale: float) -> tuple[ScaleDecoder, torch.Tensor]:
    torch.manual_seed(0)
    return ScaleDecoder(Given(), scale, OUT).double(), torch.randn(2, SIDE * SIDE, DIM, dtype=torch.float64)


def test_half_the_scale_is_the_mean_of_four_places():
    decoder, x = made(0.5)
    found = decoder(x, None, (SIDE, SIDE))
    for y in range(2):
        for c in range(2):
            four = [x[:, (2 * y + i) * SIDE + 2 * c + j] for i in range(2) for j in range(2)]
            torch.testing.assert_close(found[:, y * 2 + c], decoder.head(sum(four) / 4))


def test_the_same_scale_is_a_linear_layer():
    decoder, x = made(1.0)
    torch.testing.assert_close(decoder(x, None, (SIDE, SIDE)), decoder.head(x))


def test_twice_the_scale_is_one_transposed_convolution():
    decoder, x = made(2.0)
    found = decoder(x, None, (SIDE, SIDE))
    weight, bias = decoder.finer[0].weight, decoder.finer[0].bias  # (in, out, 2, 2)
    for y in range(2 * SIDE):
        for c in range(2 * SIDE):
            inner = x[:, (y // 2) * SIDE + c // 2] @ weight[:, :, y % 2, c % 2] + bias
            torch.testing.assert_close(found[:, y * 2 * SIDE + c], decoder.head(inner))


def test_four_times_the_scale_is_two_of_them_with_a_norm_between():
    decoder, x = made(4.0)
    found = decoder(x, None, (SIDE, SIDE))
    assert found.shape == (2, 16 * SIDE * SIDE, OUT)
    first, second = decoder.finer
    for y, c in ((0, 0), (3, 9), (13, 6)):
        inner = x[:, (y // 4) * SIDE + c // 4] @ first.weight[:, :, y // 2 % 2, c // 2 % 2] + first.bias
        inner = nn.functional.gelu(decoder.norms[0](inner)) @ second.weight[:, :, y % 2, c % 2] + second.bias
        torch.testing.assert_close(found[:, y * 4 * SIDE + c], decoder.head(inner))


@pytest.mark.parametrize("scale", [4.0, 2.0, 1.0, 0.5])
def test_shapes_with_a_transformer(scale):
    decoder = ScaleDecoder(TokenDecoder(6, DIM, 1, 2, None), scale, OUT)
    restore = torch.rand(2, SIDE * SIDE).argsort(1)
    found = decoder(torch.randn(2, 1 + 5, 6), restore, (SIDE, SIDE))
    assert found.shape == (2, round(SIDE * scale) ** 2, OUT)
