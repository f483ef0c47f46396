"""Vision transformers on timm's blocks, with token dropping and fixed positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.drop_path import own_drop_path
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.networks.positions import sincos_positions


class ViT(Encoder):
    """Dosovitskiy et al., ICLR 2021, arXiv:2010.11929. Differs: positions are fixed 2-d sines and cosines, made for the size that comes in.

    `pooling` is "cls" (the class token) or "average" (mean of the patch tokens), both after the last norm."""

    def __init__(self, in_channels: int, dim: int, depth: int, heads: int, patch_size: int, *, drop_path: float = 0.0):
        super().__init__(in_channels, dim)
        self.patch_size = patch_size
        self.patch_embed = nn.Linear(patch_size * patch_size * in_channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        rates = torch.linspace(0, drop_path, depth).tolist()
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio=4, qkv_bias=True) for _ in rates)
        for block, rate in zip(self.blocks, rates, strict=True):
            own_drop_path(block, rate)
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.cls_token, std=0.02)
        init_transformer(self)

    def check_sizes(self, sizes: Iterable[int | None]) -> None:
        for size in sizes:
            if size and size % self.patch_size:
                raise InputError(f"backbone.patch_size={self.patch_size} does not divide the view size {size}")

    def embed(self, images: Tensor) -> Tensor:
        """images (B, C, H, W) in [0, 1] -> patch tokens with positions (B, T, D), before the class token and the blocks."""
        height, width = (side // self.patch_size for side in images.shape[2:])
        tokens = self.patch_embed(patchify(self.normalize(images), self.patch_size))  # (B, T, D)
        return tokens + sincos_positions(self.dim, height, width).to(tokens.device)  # float32: so is the sum under autocast

    def encode_tokens(self, tokens: Tensor) -> list[Tensor]:
        """patch tokens (B, T', D), any subset -> after each block (B, 1 + T', D), class token first; the last one normed."""
        cls = self.cls_token.expand(tokens.shape[0], -1, -1)  # its position is 0
        x = torch.cat([cls, tokens], dim=1)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        outputs[-1] = self.norm(outputs[-1])
        return outputs

    def tokens(self, images: Tensor) -> Tensor:
        """-> (B, T, D), patch tokens after the last norm."""
        return self.encode_tokens(self.embed(images))[-1][:, 1:]

    def map(self, images: Tensor) -> Tensor:
        tokens = self.tokens(images)
        height, width = (side // self.patch_size for side in images.shape[2:])
        return tokens.transpose(1, 2).reshape(tokens.shape[0], self.dim, height, width)

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {f"block{k}": self.pool(x) for k, x in enumerate(self.encode_tokens(self.embed(images)), start=1)}

    def pool(self, tokens: Tensor) -> Tensor:
        """(B, 1 + T, D) -> (B, D)."""
        return tokens[:, 0] if self.pooling == "cls" else tokens[:, 1:].mean(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.pool(self.encode_tokens(self.embed(images))[-1])


def init_transformer(module: nn.Module) -> None:
    """Xavier-uniform linear layers, zero biases (He et al. 2022, appendix A.1)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
