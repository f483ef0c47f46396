"""What an encoder sees where patches are hidden."""

from __future__ import annotations

import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.mask_token import MaskToken
from ssl_pipelines.networks.positions import sincos_positions

HIDDEN = torch.tensor([[1.0, 0, 0, 1], [0, 0, 1, 0]])


def made(name: str, size: int = 16, **changes):
    torch.manual_seed(0)
    config = BackboneConfig(name=name, **({"depth": 1, "patch_size": 8} if name.startswith("vit") else {}), **changes)
    encoder = build_encoder(config, 3, size).eval()
    return encoder, MaskToken(encoder), torch.rand(2, 3, size, size)


def test_the_vector_stands_before_positions():
    encoder, token, images = made("vit_mini")
    plain = encoder.embed(images)
    with token.over(encoder, HIDDEN):
        tokens = encoder.embed(images)
    positions = sincos_positions(encoder.dim, 2, 2).expand(2, -1, -1)
    torch.testing.assert_close(tokens[HIDDEN == 1], positions[HIDDEN == 1] + token.vector)
    assert torch.equal(tokens[HIDDEN == 0], plain[HIDDEN == 0])
    assert torch.equal(encoder.embed(images), plain), "afterwards nothing is hidden"
    assert token.patch_size == 8


def test_nothing_is_hidden_after_an_error():
    encoder, token, images = made("vit_mini")
    plain = encoder(images)
    with pytest.raises(ZeroDivisionError), token.over(encoder, HIDDEN):
        1 / 0  # noqa: B018
    assert torch.equal(encoder(images), plain)


@pytest.mark.parametrize(
    ("name", "size", "changes"), [("vit_mini", 16, {}), ("vit_mini", 16, {"positions": "relative"}), ("test_vit", 32, {})]
)
def test_hidden_pixels_reach_nothing_and_visible_ones_do(name, size, changes):
    encoder, token, images = made(name, size, **changes)
    pixels = HIDDEN.view(2, 1, 2, 2).repeat_interleave(size // 2, 2).repeat_interleave(size // 2, 3)
    with torch.no_grad(), token.over(encoder, HIDDEN):
        before = encoder.map(images)
        assert torch.equal(encoder.map(images + pixels * torch.rand_like(images)), before)
        assert not torch.equal(encoder.map(images + (1 - pixels) * torch.rand_like(images)), before)
    assert token.patch_size == size // 2


@pytest.mark.parametrize("name", ["resnet_small", "unpadded_small", "test_convnext", "swinv2_cr_tiny_ns_224"])
def test_encoders_without_such_patches_are_refused(name):
    encoder = build_encoder(BackboneConfig(name=name), 3, 32)
    with pytest.raises(InputError, match=r"has no patches that could be hidden; allowed: one of our ViTs, or timm's"):
        MaskToken(encoder)
