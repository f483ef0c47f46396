"""ConvMAE's encoder: merges are convolutions, and its parts are where the paper has them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ssl_pipelines.networks.conv_vit import ConvViT, Merge, merged
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.vit import ViT


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_merge_is_a_convolution_whose_kernel_is_its_stride(stride):
    torch.manual_seed(0)
    merge, x = Merge(3, 5, stride), torch.randn(2, 8, 4, 3)
    weight = merge[0].weight.view(5, stride, stride, 3).permute(0, 3, 1, 2)
    plain = F.conv2d(x.permute(0, 3, 1, 2), weight, merge[0].bias, stride=stride).permute(0, 2, 3, 1)
    torch.testing.assert_close(merge(x), F.gelu(F.layer_norm(plain, (5,))))
    assert merged(x, stride).shape == (2, 8 // stride, 4 // stride, 3 * stride**2)


def small(strides=(2, 2, 1)) -> ConvViT:
    torch.manual_seed(0)
    return ConvViT(ViT(3, 48, 2, 3, 4), strides, 1, 3).eval()


@pytest.mark.parametrize(("strides", "sides"), [((2, 2, 1), (8, 4, 4)), ((1, 2, 2), (16, 8, 4)), ((4, 2, 2), (4, 2, 1))])
def test_shapes(strides, sides):
    encoder, images = small(strides), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        first, second, tokens = encoder.maps(images)
        assert first.shape == (2, sides[0], sides[0], 16)
        assert second.shape == (2, sides[1], sides[1], 24)
        assert tokens.shape == (2, sides[2] ** 2, 48)
        assert encoder.map(images).shape == (2, 48, sides[2], sides[2])
        stages = encoder.stages(images)
        assert [stage.shape[1] for stage in stages.values()] == [16, 24, 48, 48]
        assert torch.equal(stages["block2"], encoder(images))
        mean = encoder.map(images).mean((2, 3))
        torch.testing.assert_close(encoder(images), F.layer_norm(mean, (48,)), rtol=1e-4, atol=1e-5)


def test_a_token_has_its_position_and_no_class_token_is_there():
    encoder, images = small(), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        _, second, tokens = encoder.maps(images)
        plain = encoder.embed(second).flatten(1, 2)
    torch.testing.assert_close(tokens - plain, sincos_positions(48, 4, 4).expand(2, -1, -1))
    assert not [name for name, _ in encoder.named_parameters() if "cls" in name]


def test_statistics_come_from_the_vit():
    vit = ViT(3, 48, 1, 3, 4)
    vit.set_statistics([0.1, 0.2, 0.3], [0.5, 0.25, 0.2])
    encoder = ConvViT(vit, (2, 2, 1), 1, 3)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(encoder.normalize(images), vit.normalize(images))
