"""Receptive fields by Jacobians: what a place of an unpadded map sees, and that no place sees the border as such."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig


def network(size: int = 32, channels: int = 1):
    return build_encoder(BackboneConfig(name="unpadded_small", width=0.25), channels, size).eval()


def field(encoder, name: str, row: int, column: int, size: int = 32) -> tuple[int, int, int, int]:
    """top, bottom, left, right (inclusive) of the pixels that move a place, over many random images."""
    images = torch.rand(16, 1, size, size, requires_grad=True)
    gradient = torch.autograd.grad(encoder.maps(images)[name][:, :, row, column].square().sum(), images)[0].abs().sum((0, 1))
    rows, columns = gradient.sum(1).nonzero().flatten(), gradient.sum(0).nonzero().flatten()
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def test_receptive_fields_at_32_px():
    """3x3/1, 4x4/2, 2x2/2: a fine place sees 8 px every 4; two more places a side, 16 px; the top sees all."""
    encoder = network()
    assert field(encoder, "fine", 0, 0) == (0, 7, 0, 7)
    assert field(encoder, "fine", 6, 3) == (24, 31, 12, 19)
    assert field(encoder, "coarse", 0, 4) == (0, 15, 16, 31)
    assert field(encoder, "top", 0, 0) == (0, 31, 0, 31)


def test_a_place_does_not_know_where_it_is():
    """No padding: the same pixels give the same features wherever they stand."""
    encoder = network()
    images = torch.rand(1, 1, 32, 32)
    moved = images.roll((4, 8), (2, 3))  # one place down, two to the right
    a, b = (encoder.maps(x)["fine"] for x in (images, moved))
    torch.testing.assert_close(a[:, :, :6, :5], b[:, :, 1:, 2:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "fine"), [(24, 5), (28, 6), (32, 7), (40, 9), (48, 5), (64, 7), (96, 7), (128, 7), (224, 7)])
def test_maps_of_other_sizes(size, fine):
    encoder = network(size)
    maps = encoder.maps(torch.rand(2, 1, size, size))
    assert {name: x.shape[2:] for name, x in maps.items()} == {"fine": (fine, fine), "coarse": (fine - 2, fine - 2), "top": (1, 1)}
    assert encoder(torch.rand(2, 1, size, size)).shape == (2, encoder.dim)


def test_the_top_map_is_what_is_evaluated():
    encoder, images = network(), torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(encoder(images), encoder.maps(images)["top"][:, :, 0, 0])


def test_random_weights_keep_their_scale():
    torch.manual_seed(0)
    encoder = build_encoder(BackboneConfig(name="unpadded_base", width=0.25), 3, 32)
    raw = encoder.to_top(encoder.to_coarse(encoder.to_fine(torch.randn(8, 3, 32, 32))))
    assert 0.05 < raw.std() < 20


def test_images_that_are_too_small_are_refused():
    with pytest.raises(InputError, match="24 px or more, not 16"):
        network(16)
