"""How many numbers an encoder leaves of a small patch, and which encoders cannot take one."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.flat_map import flat_map_dim


def encoder(**keys):
    return build_encoder(BackboneConfig(**keys), 3, 32)


@pytest.mark.parametrize(
    ("keys", "dim"),
    [
        ({"name": "resnet_small"}, 256),
        ({"name": "resnet_small", "output_stride": 4}, 4 * 256),
        ({"name": "vit_mini", "depth": 1}, 4 * 192),
        ({"name": "mobilenetv3_small_050"}, 288),
    ],
)
def test_it_is_the_size_of_the_map(keys, dim):
    made = encoder(**keys)
    assert flat_map_dim(made, 8) == dim == made.eval().map(torch.rand(2, 3, 8, 8)).flatten(1).shape[1]
    assert made.train() is made
    flat_map_dim(made, 8)
    assert made.training


def test_an_encoder_that_cannot_take_a_patch_is_refused_in_one_line():
    for keys, message in (
        ({"name": "vit_mini", "depth": 1, "patch_size": 16}, "patch_size=16 does not divide the view size 8"),
        ({"name": "unpadded_small"}, "this encoder takes no patches of 8 px"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            flat_map_dim(encoder(**keys), 8)
        assert "\n" not in str(caught.value)
