"""MAE: encode the visible quarter of an image, predict the pixels of the rest. He et al., CVPR 2022, arXiv:2111.06377.

Differs: a light decoder suits small images (whose patches have 4 px at 32, 16 at 224, as theirs), small batches and a higher learning
rate short runs; the input is normalized by the data set's own channel statistics. What is evaluated is the mean of the patch tokens, as the paper
fine-tunes; its linear probe reads the class token (pooling="cls"), which no loss reaches directly and short runs leave to chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from ssl_pipelines.losses.masked_pixels import masked_patch_loss
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.masked_patches import (
    RECIPE,
    VisiblePatchesConfig,
    check_patches,
    reconstructions,
    rows_at,
    side_of,
    true_patches,
)
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import draw_masking


class MAE(Method):
    class Config(VisiblePatchesConfig):
        name: Literal["mae"] = "mae"
        normalize_targets: bool = True
        """Whether each true patch is brought to mean 0 and standard deviation 1 before it is predicted, which improves features in
        the paper."""
        pooling: Literal["cls", "average"] = "average"
        """What is evaluated: the mean of the patch tokens, or the class token (`cls`), which no loss reaches directly."""

    config: Config
    needs = ("vit",)
    compares_within_batch = False
    encoder: ViT
    recipe = RECIPE

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()  # type: ignore[assignment]
        self.encoder.pooling = config.pooling
        check_patches(parts.image_size, self.encoder.patch_size)
        self.patch_dim = self.encoder.patch_size**2 * self.encoder.in_channels
        self.decoder = config.decoder_of(self.encoder.dim, self.patch_dim)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        return Output(masked_patch_loss(*self.reconstruct(images)))

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> predicted and true patches (B, T, P P C), mask (B, T) with 1 where hidden."""
        visible, restore, mask = self.hide(images)
        return self.predict(images, visible, restore), self.target(images), mask

    def hide(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> visible places (B, T'), where they and the hidden ones belong (B, T), mask (B, T)."""
        return draw_masking(images, side_of(images, self.encoder.patch_size) ** 2, self.config.mask_fraction)

    def encode_visible(self, images: Tensor, visible: Tensor) -> list[Tensor]:
        """-> after each block (B, 1 + T', E)."""
        return self.encoder.encode_tokens(rows_at(self.encoder.embed(images), visible))

    def predict(self, images: Tensor, visible: Tensor, restore: Tensor) -> Tensor:
        side = side_of(images, self.encoder.patch_size)
        return self.decoder(self.encode_visible(images, visible)[-1], restore, (side, side))

    def target(self, images: Tensor) -> Tensor:
        return true_patches(self.encoder, images, self.encoder.patch_size, normalized=self.config.normalize_targets)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (masked input, reconstruction with the visible patches put back, original)."""
        images = batch.views["global"][0][:8]
        prediction, _, mask = self.reconstruct(images)
        size, normalized = self.encoder.patch_size, self.config.normalize_targets
        return {"reconstructions": reconstructions(self.encoder, images, prediction, mask, size, normalized=normalized)}
