"""The light transformer that turns visible tokens back into patches of pixels."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.vit import init_transformer


class TokenDecoder(nn.Module):
    """visible tokens (B, P + T', E) and where they belong -> predicted patches (B, T, out_dim). P `prefix` tokens stand first: MAE's class token.

    He et al. 2022, arXiv:2111.06377, section 3: a linear layer to the decoder's width, mask tokens at the empty places,
    own positions, blocks, norm, linear. With out_dim=None the last linear layer is left out: (B, T, dim)."""

    def __init__(self, encoder_dim: int, dim: int, depth: int, heads: int, out_dim: int | None, *, prefix: int = 1):
        super().__init__()
        self.prefix = prefix
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio=4, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Identity() if out_dim is None else nn.Linear(dim, out_dim)
        nn.init.normal_(self.mask_token, std=0.02)
        init_transformer(self)

    def forward(self, visible: Tensor, restore: Tensor, grid: tuple[int, int]) -> Tensor:
        """`restore` (B, T) int64: for every place of the grid, its index among (visible tokens, then mask tokens)."""
        x = self.embed(visible)  # (B, P + T', D)
        b, d, first = len(x), x.shape[2], x[:, : self.prefix]
        holes = self.mask_token.to(x.dtype).expand(b, restore.shape[1] - (x.shape[1] - self.prefix), d)
        patches = torch.cat([x[:, self.prefix :], holes], dim=1).gather(1, restore.unsqueeze(2).expand(-1, -1, d))  # (B, T, D)
        patches = patches + sincos_positions(d, *grid).to(patches.device)  # float32: so is the sum under autocast
        x = torch.cat([first, patches], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))[:, self.prefix :]
