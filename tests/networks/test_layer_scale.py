"""Layer scale, and the initialization by depth."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_pipelines.networks.layer_scale import add_layer_scale, init_by_depth
from ssl_pipelines.networks.vit import ViT

SIZES = (1, 24, 2, 3, 4)


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
