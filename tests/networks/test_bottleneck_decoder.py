"""The decoder of codes: its sizes, its gain, and how far a code reaches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_pipelines.networks.bottleneck_decoder import Bottleneck, BottleneckDecoder


@pytest.mark.parametrize("doublings", [0, 2, 3])
def test_a_place_becomes_a_square_of_pixels(doublings):
    decoder = BottleneckDecoder(7, 32, doublings, 2, 6)
    assert decoder(torch.rand(2, 7, 4, 4)).shape == (2, 6, 4 << doublings, 4 << doublings)
    branches = [part for part in decoder.modules() if isinstance(part, Bottleneck)]
    assert len(branches) == 2 * (doublings + 1)
    assert {part.gain for part in branches} == {len(branches) ** -2}


def test_a_bottleneck_is_its_formula():
    torch.manual_seed(0)
    part, x = Bottleneck(8, 8, 0.25).double(), torch.randn(2, 8, 5, 5, dtype=torch.float64)
    y = x
    for k in (1, 3, 5):
        conv = part.branch[k]
        y = F.conv2d(y.clamp(min=0), conv.weight, conv.bias, padding=1)
    y = F.conv2d(y.clamp(min=0), part.branch[7].weight, part.branch[7].bias)
    torch.testing.assert_close(part(x), x + 0.25 * y)


def test_a_code_reaches_its_neighbors_and_no_further():
    """Three 3x3 convolutions on the grid of codes: 3 places to each side, then 3 pixels at every finer size."""
    torch.manual_seed(0)
    decoder = BottleneckDecoder(5, 128, 1, 1, 2).double()
    codes = torch.rand(1, 5, 16, 16, dtype=torch.float64)
    other = codes.clone()
    other[0, :, 8, 8] += 1
    changed = (decoder(codes) != decoder(other)).any(1)[0]
    rows = changed.any(1).nonzero().squeeze(1)
    assert (rows.min().item(), rows.max().item()) == (2 * (8 - 3) - 3, 2 * (8 + 3) + 1 + 3)
