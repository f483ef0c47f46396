"""The channel-wise layer is a dense one with a block a channel on its diagonal. Pathak et al. 2016, section 3.1."""

from __future__ import annotations

import torch

from ssl_pipelines.networks.channelwise import ChannelwiseLinear


def test_it_equals_a_block_diagonal_matrix():
    layer = ChannelwiseLinear(3, 4).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    dense = torch.block_diag(*layer.weight)  # (48, 48)
    torch.testing.assert_close(layer(x), (x.flatten(1) @ dense.T + layer.bias.flatten()).view_as(x))
    assert layer.weight.numel() == 3 * 4**4


def test_information_crosses_places_and_no_channels():
    layer, x = ChannelwiseLinear(3, 4), torch.randn(1, 3, 4, 4, requires_grad=True)
    layer(x)[0, 1, 0, 0].backward()
    assert (x.grad[0, 1] != 0).all()
    assert (x.grad[0, [0, 2]] == 0).all()
