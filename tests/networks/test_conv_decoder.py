"""Decoders: any size of map to any size of image, and each place paints around itself."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.conv_decoder import CodeDecoder, ConvDecoder, sides
from ssl_pipelines.networks.map_shape import map_shape


def test_sides_double_up_to_the_image():
    assert sides(4, 32) == [8, 16, 32]
    assert sides(2, 28) == [4, 7, 14, 28]
    assert sides(5, 32) == [8, 16, 32]
    assert sides(8, 8) == []


@pytest.mark.parametrize(("side", "size"), [(4, 32), (2, 28), (5, 32), (8, 8), (1, 15), (7, 50)])
def test_images_come_out_at_their_size(side, size):
    assert ConvDecoder(6, side, size, 3, width=4)(torch.randn(2, 6, side, side)).shape == (2, 3, size, size)
    assert CodeDecoder(5, size, 1, width=4)(torch.randn(2, 5)).shape == (2, 1, size, size)


def test_a_place_of_the_map_paints_around_itself():
    decoder = ConvDecoder(6, 4, 32, 3, width=4).eval()
    x = torch.randn(1, 6, 4, 4, requires_grad=True)
    decoder(x)[0, :, 2, 2].sum().backward()
    reached = x.grad.abs().sum((0, 1)) > 0
    assert reached[0, 0]
    assert not reached[3, 3]


@pytest.mark.parametrize("name", ["resnet_small", "vit_mini", "unpadded_small", "mobilenetv3_small_050"])
def test_map_shape_is_that_of_the_map(name):
    encoder = build_encoder(BackboneConfig(name=name), 1, 32)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    dim, side = map_shape(encoder.train(), 32)
    assert encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert encoder.eval().map(torch.zeros(1, 1, 32, 32)).shape == (1, dim, side, side)
