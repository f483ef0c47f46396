"""Transformers whose residual branches begin small: layer scale, and the initialization that goes with it."""

from __future__ import annotations

import torch
from timm.layers.layer_scale import LayerScale
from timm.models.vision_transformer import Block
from torch import nn

from ssl_pipelines.networks.vit import ViT


def add_layer_scale(encoder: ViT, value: float) -> None:
    """A learnt factor a channel, `value` at first, at the end of both branches of every block. Touvron et al. 2021, arXiv:2103.17239."""
    for block in encoder.blocks:
        assert isinstance(block, Block)
        block.ls1, block.ls2 = LayerScale(encoder.dim, value), LayerScale(encoder.dim, value)


@torch.no_grad()
def init_by_depth(encoder: ViT, std: float = 0.02) -> None:
    """Normal weights cut at one `std`; the last layer of both branches of the k-th block divided by sqrt(2 k).

    Bao et al. 2022 (BEiT), arXiv:2106.08254, section 2.4; the cut is the authors' code's."""
    for part in encoder.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=std, a=-std, b=std)
    nn.init.trunc_normal_(encoder.cls_token, std=std, a=-std, b=std)
    for depth, block in enumerate(encoder.blocks, start=1):
        assert isinstance(block, Block)
        for last in (block.attn.proj, block.mlp.fc2):
            last.weight /= (2 * depth) ** 0.5
