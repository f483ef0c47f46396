"""MAE: encode the visible quarter of an image, predict the pixels of the rest. He et al., CVPR 2022, arXiv:2111.06377.

Differs: patches of 4 px and a light decoder suit small images, small batches and a higher learning rate short runs;
the input is normalized by the data set's own channel statistics. What is evaluated is the mean of the patch tokens, as the paper
fine-tunes; its linear probe reads the class token (pooling="cls"), which no loss reaches directly and short runs leave to chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.losses.masked_pixels import masked_patch_loss, normalize_patches
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.decoder import TokenDecoder
from ssl_pipelines.networks.patches import patchify, unpatchify
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import random_masking
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


class MAE(Method):
    class Config(MethodConfig):
        name: Literal["mae"] = "mae"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5))
        mask_fraction: float = Field(default=0.75, gt=0, lt=1)
        normalize_targets: bool = True
        decoder_dim: int = Field(default=128, ge=8, le=4096, multiple_of=8)
        decoder_depth: int = Field(default=2, ge=1, le=24)
        decoder_heads: Literal[1, 2, 4, 8, 16] = 4
        pooling: Literal["cls", "average"] = "average"

        @model_validator(mode="after")
        def _heads_divide(self) -> Self:
            if self.decoder_dim % self.decoder_heads:
                raise ValueError(f"decoder_heads={self.decoder_heads} is to divide decoder_dim={self.decoder_dim}")
            return self

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.positions == "relative":
                raise InputError("backbone.positions='relative' needs every token, and method='mae' drops some; allowed: sincos")

    config: Config
    needs = ("vit",)
    compares_within_batch = False
    encoder: ViT
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini"),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()  # type: ignore[assignment]
        self.encoder.pooling = config.pooling
        patch_dim = self.encoder.patch_size**2 * self.encoder.in_channels
        self.decoder = TokenDecoder(self.encoder.dim, config.decoder_dim, config.decoder_depth, config.decoder_heads, patch_dim)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, H, W)
        prediction, target, mask = self.reconstruct(images)
        return Output(masked_patch_loss(prediction, target, mask))

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> predicted and true patches (B, T, P P C), mask (B, T) with 1 where hidden."""
        encoder, size = self.encoder, self.encoder.patch_size
        tokens = encoder.embed(images)  # (B, T, E)
        b, t, e = tokens.shape
        keep = max(1, int(t * (1 - self.config.mask_fraction)))
        visible, restore, mask = random_masking(rand_rows(b, t, device=images.device), keep)
        tokens = tokens.gather(1, visible.unsqueeze(2).expand(-1, -1, e))  # (B, keep, E)
        grid = (images.shape[2] // size, images.shape[3] // size)
        prediction = self.decoder(encoder.encode_tokens(tokens)[-1], restore, grid)
        target = patchify(encoder.normalize(images), size)
        return prediction, normalize_patches(target) if self.config.normalize_targets else target, mask

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (masked input, reconstruction with the visible patches put back, original)."""
        images = batch.views["global"][0][:8]
        size, (height, width) = self.encoder.patch_size, images.shape[2:]
        prediction, _, mask = self.reconstruct(images)
        patches = patchify(self.encoder.normalize(images), size)
        if self.config.normalize_targets:  # undo with the true patch's own mean and spread, as the paper's figures do
            prediction = prediction * (patches.var(-1, keepdim=True) + 1e-6).sqrt() + patches.mean(-1, keepdim=True)
        hidden = mask.unsqueeze(2)

        def to_pixels(rows: Tensor) -> Tensor:
            return (unpatchify(rows, size, height, width) * self.encoder.std + self.encoder.mean).clamp(0, 1)

        masked = to_pixels(patches) * (1 - unpatchify(hidden.expand_as(patches), size, height, width)) + 0.5 * unpatchify(
            hidden.expand_as(patches), size, height, width
        )
        filled = to_pixels(prediction * hidden + patches * (1 - hidden))
        return {"reconstructions": torch.stack([masked, filled, images], dim=1).flatten(0, 1)}
