"""SimMIM: large squares of the image are hidden by a mask token within the encoder, and a single layer predicts their pixels.

Xie et al., CVPR 2022, arXiv:2111.09886. All tokens enter the encoder, so a mask saves no time, but any encoder of patches will do:
a ViT (here with relative positions, as theirs) or timm's Swin, whose last map, of S px a place, gives S x S pixels a place.

Differs: squares of 8 px (theirs are 32 px of 192 or 224); the input is normalized by the data set's own channel statistics; a higher
learning rate, with a cosine, suits short runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.masked_l1 import masked_l1
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.methods.masked_patches import reconstructions, side_of
from ssl_pipelines.networks.config import RESNETS, UNPADDED, VITS, BackboneConfig
from ssl_pipelines.networks.mask_token import ALLOWED, MaskToken
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import draw_masking, mask_at
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


class SimMIM(Method):
    class Config(MethodConfig):
        name: Literal["simmim"] = "simmim"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.67, 1.0), flip=0.5))
        mask_fraction: float = Field(default=0.6, gt=0, lt=1)
        unit: int = Field(default=8, ge=1, le=512)  # px: the side of the squares that are hidden, a multiple of the patch size

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.name in (*RESNETS, *UNPADDED):
                raise InputError(
                    f"method='simmim' needs an encoder of patches, backbone.name={backbone.name!r} is not one: {ALLOWED}"
                )
            if backbone.name in VITS:
                self.check_unit(backbone.patch_size)

        def check_unit(self, patch_size: int) -> None:
            if self.unit % patch_size:
                raise InputError(f"methods.simmim.unit={self.unit}: allowed are multiples of the patch size, {patch_size} px")

    config: Config
    compares_within_batch = False
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini", positions="relative", drop_path=0.1),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.05),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.mask_token = MaskToken(self.encoder)
        config.check_unit(self.mask_token.patch_size)
        if parts.image_size % config.unit or parts.image_size == config.unit:
            raise InputError(
                f"methods.simmim.unit={config.unit}: allowed are divisors of the view size {parts.image_size}, below it"
            )
        size = config.views.groups["global"].size
        if size not in (None, parts.image_size):
            raise InputError(f"methods.simmim.views.groups.global.size={size}: allowed is the view size, {parts.image_size}")
        self.stride = parts.image_size // self.encoder.map_side(parts.image_size)  # px a place of the last map
        self.head = nn.Conv2d(self.encoder.dim, self.stride**2 * self.encoder.in_channels, 1)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        prediction, mask = self.reconstruct(images)
        hidden = mask_at(mask, side_of(images, self.config.unit), images.shape[3]).view(len(images), 1, *images.shape[2:])
        return Output(masked_l1(prediction, self.encoder.normalize(images), hidden))

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """-> predicted images (B, C, H, W), normalized; mask (B, U), 1 for the squares that are hidden."""
        units = side_of(images, self.config.unit)
        _, _, mask = draw_masking(images, units**2, self.config.mask_fraction)
        with self.mask_token.over(self.encoder, mask_at(mask, units, side_of(images, self.mask_token.patch_size))):
            features = self.encoder.map(images)  # (B, D, H / S, W / S)
        return F.pixel_shuffle(self.head(features), self.stride), mask

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (masked input, reconstruction with the visible squares put back, original)."""
        images, unit = batch.views["global"][0][:8], self.config.unit
        prediction, mask = self.reconstruct(images)
        return {"reconstructions": reconstructions(self.encoder, images, patchify(prediction, unit), mask, unit, normalized=False)}
