"""A head for every place: its size, what it refuses, and that places keep their order."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.dense_head import DenseHead


@pytest.mark.parametrize(("name", "upsampling", "side"), [("resnet_small", 1, 4), ("resnet_small", 4, 16), ("vit_mini", 2, 16)])
def test_a_map_becomes_finer_by_the_factor(name, upsampling, side):
    stride = {"output_stride": 8, "width": 0.25} if name == "resnet_small" else {"depth": 1}
    encoder = build_encoder(BackboneConfig(name=name, **stride), 1, 32)
    head = DenseHead(encoder, 32, 8, 5, upsampling)
    assert head(encoder.map(torch.rand(2, 1, 32, 32))).shape == (2, 5, side, side)
    assert head.side == side


def test_finer_than_the_image_is_refused():
    encoder = build_encoder(BackboneConfig(name="resnet_small", width=0.25, output_stride=8), 1, 32)
    with pytest.raises(InputError, match="upsampling=8 of a map of 8x8 is finer than the 32 px"):
        DenseHead(build_encoder(BackboneConfig(name="vit_mini", depth=1), 1, 32), 32, 8, 5, 8)
    assert encoder.training


def test_a_place_of_the_map_is_a_square_of_the_output():
    encoder = build_encoder(BackboneConfig(name="resnet_small", width=0.25, output_stride=8), 1, 32)
    head = DenseHead(encoder, 32, 8, 5, 2).eval()
    places = torch.zeros(1, encoder.dim, 4, 4)
    touched = places.clone()
    touched[0, :, 1, 2] = 1.0
    hit = (head(touched) - head(places)).abs().sum(1)[0].nonzero()
    assert hit.amin(0).tolist() == [1, 3]  # the square 2..3, 4..5 and one place around it
    assert hit.amax(0).tolist() == [4, 6]
