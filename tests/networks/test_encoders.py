"""Encoders, heads and norms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.networks.patches import patchify, unpatchify
from ssl_pipelines.networks.positions import sincos_positions

DIMS = {
    "resnet_small": 256,
    "resnet18": 512,
    "resnet50": 2048,
    "vit_mini": 192,
    "vit_small": 384,
    "test_resnet": 512,
    "test_vit": 64,
}


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", DIMS)
def test_shapes(name, channels):
    config = BackboneConfig(name=name, depth=2 if name.startswith("vit") else None)
    encoder = build_encoder(config, channels, 32).eval()
    images = torch.rand(2, channels, 32, 32)
    with torch.no_grad():
        z, features, stages = encoder(images), encoder.map(images), encoder.stages(images)
    assert z.shape == (2, encoder.dim)
    assert features.shape[:2] == (2, encoder.dim)
    assert z.isfinite().all()
    last = list(stages.values())[-1]
    if not name.startswith("test_"):
        assert encoder.dim == DIMS[name]
        torch.testing.assert_close(z, features.mean((2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(z, last, rtol=1e-4, atol=1e-5)


def test_stems():
    small = build_encoder(BackboneConfig(name="resnet18"), 3, 32)
    large = build_encoder(BackboneConfig(name="resnet18"), 3, 96)
    forced = build_encoder(BackboneConfig(name="resnet18", stem="small"), 3, 96)
    assert (small.stem[0].kernel_size, large.stem[0].kernel_size, forced.stem[0].kernel_size) == ((3, 3), (7, 7), (3, 3))
    assert sum(isinstance(module, nn.MaxPool2d) for module in large.modules()) == 1


def test_width_and_depth():
    assert build_encoder(BackboneConfig(name="resnet_small", width=0.5), 3, 32).dim == 128
    assert len(build_encoder(BackboneConfig(name="vit_mini"), 3, 32).blocks) == 4
    assert len(build_encoder(BackboneConfig(name="vit_mini", depth=3), 3, 32).blocks) == 3


def test_a_vit_pools_as_it_is_told():
    encoder = build_encoder(BackboneConfig(name="vit_mini", depth=1), 3, 16).eval()
    images = torch.rand(2, 3, 16, 16)
    tokens = encoder.encode_tokens(encoder.embed(images))[-1]
    assert torch.equal(encoder(images), tokens[:, 1:].mean(1))
    encoder.pooling = "cls"
    assert torch.equal(encoder(images), tokens[:, 0])


def test_statistics_travel_with_the_weights():
    encoder = build_encoder(BackboneConfig(name="resnet_small"), 3, 32)
    encoder.set_statistics([0.1, 0.2, 0.3], [0.5, 0.25, 0.0])
    x = torch.rand(2, 3, 8, 8)
    expected = (x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 1e-3]).view(3, 1, 1)
    torch.testing.assert_close(encoder.normalize(x), expected)
    assert {"mean", "std"} <= encoder.state_dict().keys()


def test_bad_backbones_are_refused():
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        build_encoder(BackboneConfig(name="resnet_18x"), 3, 32)
    with pytest.raises(InputError, match="does not divide"):
        build_encoder(BackboneConfig(name="vit_mini", patch_size=5), 3, 32)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3), (6, 4, 3, 2)])
def test_batch_norm_on_one_rank_is_torchs(shape):
    ours, theirs = BatchNorm(4), (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(4)
    x = torch.randn(*shape)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_no_bias_straight_before_a_norm():
    for last in (True, False):
        layers = list(mlp([5, 7, 3], last_norm=last))
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Linear):
                assert (layer.bias is None) == isinstance(after, BatchNorm)


def test_patches_go_and_come_back_in_order():
    x = torch.randn(2, 3, 8, 12)
    rows = patchify(x, 4)
    assert rows.shape == (2, 6, 48)
    assert torch.equal(unpatchify(rows, 4, 8, 12), x)
    for row, column, channel in ((0, 0, 0), (1, 2, 1), (3, 3, 2)):
        assert rows[1, 4, (row * 4 + column) * 3 + channel] == x[1, channel, 4 + row, 4 + column]


def test_positions():
    table = sincos_positions(8, 2, 3).numpy()
    for y in range(2):
        for x in range(3):
            expected = []
            for place in (x, y):
                angles = [place / 10000 ** (k / 2) for k in range(2)]
                expected += [np.sin(a) for a in angles] + [np.cos(a) for a in angles]
            np.testing.assert_allclose(table[y * 3 + x], expected, atol=1e-6)
