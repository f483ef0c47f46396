"""Two stages of convolutions before the blocks of a ViT: ConvMAE's encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.masked_conv import MaskedConvBlock
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.vit import ViT, init_transformer


def merged(x: Tensor, stride: int) -> Tensor:
    """(B, h, w, D) -> (B, h / s, w / s, s s D): squares of s x s places that do not overlap."""
    return x.unflatten(1, (-1, stride)).unflatten(3, (-1, stride)).transpose(2, 3).flatten(3)


class Merge(nn.Sequential):
    """(B, h, w, D) -> (B, h / s, w / s, D'): a convolution of kernel and stride s, layer norm, GELU."""

    def __init__(self, into: int, out: int, stride: int):
        super().__init__(nn.Linear(into * stride**2, out), nn.LayerNorm(out), nn.GELU())
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(merged(x, self.stride))


class ConvStage(nn.Module):
    """(B, h, w, D) -> (B, h / s, w / s, D'): a merge, then convolution blocks. `mask` of the same places, 1 where hidden."""

    def __init__(self, into: int, out: int, stride: int, depth: int, kernel: int):
        super().__init__()
        self.merge = Merge(into, out, stride)
        self.blocks = nn.ModuleList(MaskedConvBlock(out, kernel) for _ in range(depth))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.merge(x)
        keep = None if mask is None else (1 - mask).unsqueeze(3).to(x.dtype)
        for block in self.blocks:
            x = block(x, keep)
        return x


class ConvViT(Encoder):
    """Gao et al. 2022, arXiv:2205.03892, section 3.1: convolution blocks at D/3 and D/2 channels, then the blocks of `vit`, of which nothing
    else is used. `strides`: px a place of the first stage, its places a place of the second, those a token. There is no class token.

    The representation is the mean of the last block's tokens, normed without parameters: what the authors put a classifier on."""

    def __init__(self, vit: ViT, strides: Sequence[int], depth: int, kernel: int):
        super().__init__(vit.in_channels, vit.dim)
        self.mean.copy_(vit.mean)
        self.std.copy_(vit.std)
        self.strides = tuple(strides)
        self.dims = (vit.dim // 3, vit.dim // 2, vit.dim)
        widths = list(pairwise((vit.in_channels, *self.dims)))
        self.local = nn.ModuleList(
            ConvStage(into, out, stride, depth, kernel) for (into, out), stride in zip(widths[:2], strides[:2], strict=True)
        )
        self.embed = nn.Sequential(Merge(*widths[2], strides[2]), nn.Linear(vit.dim, vit.dim))
        init_transformer(self)
        self.blocks = vit.blocks

    def maps(self, images: Tensor, masks: Sequence[Tensor | None] = (None, None)) -> tuple[Tensor, Tensor, Tensor]:
        """-> the first and the second stage's map (B, h, w, D'), and tokens (B, T, D) with positions.

        `masks` (B, h, w), 1 where hidden, one for each of the two."""
        first = self.local[0](self.normalize(images).permute(0, 2, 3, 1), masks[0])
        second = self.local[1](first, masks[1])
        tokens = self.embed(second)  # (B, h, w, D)
        height, width = tokens.shape[1:3]
        return first, second, tokens.flatten(1, 2) + sincos_positions(self.dim, height, width).to(tokens.device)

    def transform(self, tokens: Tensor) -> list[Tensor]:
        """(B, T', D), any subset -> the same after each block."""
        outputs = []
        for block in self.blocks:
            tokens = block(tokens)
            outputs.append(tokens)
        return outputs

    def map(self, images: Tensor) -> Tensor:
        first, _, tokens = self.maps(images)
        side = first.shape[1] // (self.strides[1] * self.strides[2])
        return self.transform(tokens)[-1].transpose(1, 2).unflatten(2, (side, -1))

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        first, second, tokens = self.maps(images)
        found = {"conv1": first.mean((1, 2)), "conv2": second.mean((1, 2))}
        return found | {f"block{k}": self.pool(x) for k, x in enumerate(self.transform(tokens), start=1)}

    def pool(self, tokens: Tensor) -> Tensor:
        """(B, T, D) -> (B, D)."""
        return F.layer_norm(tokens.mean(1), (self.dim,))

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.transform(self.maps(images)[-1])[-1])
