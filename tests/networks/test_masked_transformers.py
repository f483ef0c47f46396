"""The vector in place of hidden patches, layer scale, and the initialization by depth."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_pipelines.networks.layer_scale import add_layer_scale, init_by_depth
from ssl_pipelines.networks.mask_token import MaskToken
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.networks.vit import ViT

SIZES = (1, 24, 2, 3, 4)


@pytest.mark.parametrize("relative", [True, False])
def test_a_hidden_patch_leaves_its_position_alone(relative):
    torch.manual_seed(0)
    vit, token = RelativeViT(*SIZES, grid=3) if relative else ViT(*SIZES), MaskToken(24)
    images, mask = torch.rand(2, 1, 12, 12), torch.rand(2, 9) < 0.5
    tokens = token(vit, images, mask)
    with torch.no_grad():
        vit.patch_embed.weight.zero_()
        vit.patch_embed.bias.zero_()
    positions = vit.embed(images)[0]  # nothing of the pixels is left
    torch.testing.assert_close(tokens[mask], (token.vector[0] + positions).expand(2, -1, -1)[mask])
    assert bool(positions.abs().sum() > 0) is not relative


@pytest.mark.parametrize("relative", [True, False])
def test_hidden_pixels_change_nothing_and_visible_ones_stay_what_they_are(relative):
    torch.manual_seed(0)
    vit, token = RelativeViT(*SIZES, grid=3) if relative else ViT(*SIZES), MaskToken(24)
    mask = torch.tensor([[1, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=torch.bool)
    images, others = torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 12)
    others[..., :4, 4:], others[..., 4:, :4], others[..., 4:8, 8:], others[..., 8:, 4:] = (
        images[..., :4, 4:], images[..., 4:, :4], images[..., 4:8, 8:], images[..., 8:, 4:],
    )  # fmt: skip
    one, two = (vit.encode_tokens(token(vit, x, mask))[-1] for x in (images, others))
    assert not torch.equal(images, others)
    assert torch.equal(one, two)
    assert torch.equal(token(vit, images, mask)[~mask], vit.embed(images)[~mask])


def test_layer_scale_multiplies_both_branches():
    torch.manual_seed(0)
    vit = ViT(*SIZES).double()
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    block = vit.blocks[0]
    attended = x + 0.1 * block.attn(block.norm1(x))
    by_hand = attended + 0.1 * block.mlp(block.norm2(attended))
    add_layer_scale(vit, 0.1)
    vit.double()
    torch.testing.assert_close(block(x), by_hand)
    assert [name for name, _ in block.named_parameters() if "gamma" in name] == ["ls1.gamma", "ls2.gamma"]


def test_weights_begin_within_one_deviation_and_smaller_with_depth():
    torch.manual_seed(0)
    vit = ViT(1, 96, 4, 3, 4)
    init_by_depth(vit)
    for part in (part for part in vit.modules() if isinstance(part, nn.Linear)):
        assert part.weight.abs().max() <= 0.02
    for depth, block in enumerate(vit.blocks, start=1):
        for last in (block.attn.proj.weight, block.mlp.fc2.weight):
            assert last.abs().max().item() == pytest.approx(0.02 / (2 * depth) ** 0.5, rel=0.02)
