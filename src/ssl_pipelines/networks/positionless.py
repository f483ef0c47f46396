"""A vision transformer without positions, in which all patches attend to some of the patches, the context."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.vit import ViT


class PositionlessViT(Encoder):
    """The patch projection, blocks and norm of `vit`, without its positions and class token; an image is the mean over its patches.

    With a context, keys and values of every block are those of its patches alone: they see each other, the rest see them and not
    even themselves. Zhai et al. 2022, arXiv:2207.07611, section 3."""

    blocks: nn.ModuleList

    def __init__(self, vit: ViT):
        super().__init__(vit.in_channels, vit.dim)
        self.patch_size = vit.patch_size
        self.patch_embed, self.blocks, self.norm = vit.patch_embed, vit.blocks, vit.norm
        self.mean.copy_(vit.mean)
        self.std.copy_(vit.std)

    def embed(self, images: Tensor, *, positions: bool = False) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, T, D): each patch by itself; with fixed sines and cosines added where `positions`."""
        tokens: Tensor = self.patch_embed(patchify(self.normalize(images), self.patch_size))
        if positions:
            tokens = tokens + sincos_positions(self.dim, *self.grid(images)).to(tokens)
        return tokens

    def encode_tokens(self, tokens: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """tokens (B, T, D), context (B, T) bool (None: all) -> after each block (B, T, D), the last one normed."""
        keys = None if context is None else context[:, None, None, :]  # (B, 1, 1, T): the same for every head and query
        outputs = []
        for block in self.blocks:
            tokens = block(tokens, attn_mask=keys)
            outputs.append(tokens)
        outputs[-1] = self.norm(outputs[-1])
        return outputs

    def grid(self, images: Tensor) -> tuple[int, int]:
        """Patches down and across."""
        return images.shape[2] // self.patch_size, images.shape[3] // self.patch_size

    def map(self, images: Tensor) -> Tensor:
        tokens = self.encode_tokens(self.embed(images))[-1]
        return tokens.transpose(1, 2).unflatten(2, self.grid(images))

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {f"block{k}": x.mean(1) for k, x in enumerate(self.encode_tokens(self.embed(images)), start=1)}
