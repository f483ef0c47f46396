"""What the methods that predict hidden patches share: the keys of a decoder, the true patches, the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.masked_pixels import normalize_patches
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.decoder import TokenDecoder
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.patches import patchify, unpatchify
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, bicubic, one_view

# For small images and short runs: small batches, and a higher learning rate than the papers'.
RECIPE = Recipe(
    backbone=BackboneConfig(name="vit_mini"),
    optimizer=OptimizerConfig(name="adamw", lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
    batch_size=64,
)


class VisiblePatchesConfig(MethodConfig):
    """Of a method that encodes the visible patches alone, and decodes the whole grid."""

    views: ViewPlan = bicubic(one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5)))
    mask_fraction: float = Field(default=0.75, gt=0, lt=1)
    """Share of the patches that are hidden from the encoder. MAE takes 0.75; a larger share is faster."""
    decoder_dim: int = Field(default=128, ge=8, le=4096, multiple_of=8)
    """Width of each decoder; a multiple of 8. MAE takes 512."""
    decoder_depth: int = Field(default=2, ge=1, le=24)
    """Number of blocks of each decoder. MAE takes 8; a light one suits small images."""
    decoder_heads: Literal[1, 2, 4, 8, 16] = 4
    """Number of attention heads of each decoder; it divides `decoder_dim`."""

    def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
        if backbone.positions != "sincos":
            raise InputError(
                f"backbone.positions={backbone.positions!r} needs every patch, and hidden ones are left out here; allowed is sincos"
            )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.decoder_dim % self.decoder_heads:
            raise ValueError(f"decoder_heads={self.decoder_heads} is to divide decoder_dim={self.decoder_dim}")
        return self

    def decoder_of(self, encoder_dim: int, out_dim: int | None, **changes: Any) -> TokenDecoder:
        return TokenDecoder(encoder_dim, self.decoder_dim, self.decoder_depth, self.decoder_heads, out_dim, **changes)


def blocks_of(depth: int, shares: Sequence[float]) -> list[int]:
    """The blocks, from 1, that lie at these shares of the depth."""
    return [max(1, round(share * depth)) for share in shares]


def check_blocks(key: str, blocks: tuple[int, ...] | None, depth: int) -> None:
    """Raises InputError for blocks that are not there, not in order, or leave the last one out, which nothing would train."""
    if blocks is not None and (blocks[-1:] != (depth,) or blocks[0] < 1 or list(blocks) != sorted(set(blocks))):
        raise InputError(
            f"{key}={list(blocks)}: allowed are rising numbers from 1 to backbone.depth={depth}, the last one included"
        )


def check_patches(image_size: int, patch_size: int) -> None:
    """Raises InputError for a single patch, which is seen, or predicted from nothing."""
    if image_size < 2 * patch_size:
        raise InputError(f"backbone.patch_size={patch_size} makes one patch of views of {image_size} px: nothing is left to hide")


def side_of(images: Tensor, patch_size: int) -> int:
    """Patches along the side of square images."""
    return images.shape[3] // patch_size


def rows_at(tokens: Tensor, places: Tensor) -> Tensor:
    """(B, T, D), (B, K) -> (B, K, D)."""
    return tokens.gather(1, places.unsqueeze(2).expand(-1, -1, tokens.shape[2]))


def true_patches(encoder: Encoder, images: Tensor, size: int, *, normalized: bool) -> Tensor:
    """(B, T, P P C), P = `size`: the encoder's input; `normalized`: each patch by its own mean and spread."""
    patches = patchify(encoder.normalize(images), size)
    return normalize_patches(patches) if normalized else patches


def reconstructions(encoder: Encoder, images: Tensor, prediction: Tensor, mask: Tensor, size: int, *, normalized: bool) -> Tensor:
    """-> (3 B, C, H, W) in [0, 1]: masked input, prediction (B, T, P P C) with the visible patches put back, original; for each image."""
    patches, (height, width) = patchify(encoder.normalize(images), size), images.shape[2:]
    if normalized:  # undo with the true patch's own mean and spread, as MAE's figures do
        prediction = prediction * (patches.var(-1, keepdim=True) + 1e-6).sqrt() + patches.mean(-1, keepdim=True)
    hidden = mask.unsqueeze(2).expand_as(patches)  # (B, T, P P C)
    gray = unpatchify(hidden, size, height, width)
    filled = unpatchify(prediction * hidden + patches * (1 - hidden), size, height, width) * encoder.std + encoder.mean
    return torch.stack([images * (1 - gray) + 0.5 * gray, filled.clamp(0, 1), images], dim=1).flatten(0, 1)
