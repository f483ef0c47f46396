"""A vision transformer with relative position biases in place of absolute positions."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.networks.vit import ViT


def relative_index(side: int) -> Tensor:
    """-> (1 + T, 1 + T) int64, T = side^2: the entry of the table for query i and key j, one for every pair of offsets.

    The class token comes first; the last three of the (2 side - 1)^2 + 3 entries are for it: as query, as key, and with itself."""
    place = torch.arange(side * side)
    rows, columns = place // side, place % side
    spread = 2 * side - 1
    down, across = (axis.unsqueeze(1) - axis + side - 1 for axis in (rows, columns))  # (T, T), from 0
    index = torch.empty(side * side + 1, side * side + 1, dtype=torch.int64)
    index[1:, 1:] = down * spread + across
    index[0, 1:], index[1:, 0], index[0, 0] = (spread**2 + k for k in range(3))
    return index


class RelativeViT(ViT):
    """A ViT without absolute positions, whose blocks share one table of relative position biases: (2 side - 1)^2 + 3 entries a head.

    Wei et al. 2022, arXiv:2205.14141, section 3.2; the table is that of Bao et al. 2022 (BEiT), arXiv:2106.08254. It is made for one
    size of image, and needs every token: nothing can be dropped."""

    index: Tensor

    def __init__(self, in_channels: int, dim: int, depth: int, heads: int, patch_size: int, *, grid: int, drop_path: float = 0.0):
        super().__init__(in_channels, dim, depth, heads, patch_size, drop_path=drop_path)
        self.bias = nn.Parameter(torch.zeros((2 * grid - 1) ** 2 + 3, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.side = grid
        self.register_buffer("index", relative_index(grid), persistent=False)

    def check_sizes(self, sizes: Iterable[int | None]) -> None:
        only = self.side * self.patch_size
        for size in sizes:
            if size and size != only:
                raise InputError(f"backbone.positions='relative' is made for views of {only} px alone, and here are some of {size}")

    def embed(self, images: Tensor) -> Tensor:
        return self.patch_embed(patchify(self.normalize(images), self.patch_size))

    def encode_tokens(self, tokens: Tensor) -> list[Tensor]:
        x = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        bias = self.bias[self.index].permute(2, 0, 1).unsqueeze(0).to(x.dtype)  # (1, heads, 1 + T, 1 + T)
        outputs = []
        for block in self.blocks:
            x = block(x, attn_mask=bias)
            outputs.append(x)
        outputs[-1] = self.norm(outputs[-1])
        return outputs
