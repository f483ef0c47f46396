"""SimMIM: large squares of the image are hidden by a mask token within the encoder, and a single layer predicts their pixels.

Xie et al., CVPR 2022, arXiv:2111.09886.

All tokens enter the encoder, so a mask saves no time, but any encoder of patches will do: a ViT (here with relative positions, as
theirs) or timm's Swin, whose last map, of S px a place, gives S x S pixels a place.

As in the authors' code the ViT's residual branches begin small (layer scale, BEiT's initialization) and its table of positions at 0.

Differs: squares of two patches a side follow the image (8 px of 32; 32 of 224, as theirs; for a Swin about a seventh of the side); the
input is normalized by the data set's own channel statistics; a higher learning rate, with a cosine, suits short runs.
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
from ssl_pipelines.methods.masked_patches import check_patches, reconstructions, side_of
from ssl_pipelines.networks.config import RESNETS, UNPADDED, VITS, BackboneConfig
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.layer_scale import add_layer_scale, init_by_depth
from ssl_pipelines.networks.mask_token import ALLOWED, MaskToken
from ssl_pipelines.networks.patches import patchify
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.networks.timm_encoder import TimmEncoder
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import draw_masking, mask_at
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


class SimMIM(Method):
    class Config(MethodConfig):
        name: Literal["simmim"] = "simmim"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.67, 1.0), flip=0.5))
        mask_fraction: float = Field(default=0.6, gt=0, lt=1)
        """Share of the squares that are hidden. The paper takes 0.6."""
        unit: int | None = Field(default=None, ge=1, le=512)
        """Side in px of the squares that are hidden, a multiple of the patch size; null follows patches and image (8 px of 32, the
        paper's 32 of 224)."""
        layer_scale: float = Field(default=0.1, gt=0, le=1)
        """Factor of the residual branches at first, learnt from there on; our ViTs only. Lower it for deep encoders."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.name in (*RESNETS, *UNPADDED):
                raise InputError(
                    f"method='simmim' needs an encoder of patches, backbone.name={backbone.name!r} is not one: {ALLOWED}"
                )
            if backbone.name in VITS:
                self.check_unit(backbone.patch_size)
            elif self.layer_scale != type(self).model_fields["layer_scale"].default:
                found = f"methods.simmim.layer_scale={self.layer_scale} is read by {', '.join(VITS)}"
                raise InputError(f"{found}; with backbone.name={backbone.name!r} it would be ignored")

        def check_unit(self, patch_size: int) -> None:
            if self.unit is not None and self.unit % patch_size:
                raise InputError(f"methods.simmim.unit={self.unit}: allowed are multiples of the patch size, {patch_size} px")

        def unit_of(self, image_size: int, patch_size: int, stride: int) -> int:
            """Side in px of a hidden square: as given, or else two patches where they divide the image, or one. Where the last map
            is coarser (`stride` px a place) than the patches: the multiple of them nearest to a seventh of the image. Raises
            InputError where that hides all."""
            self.check_unit(patch_size)
            if self.unit is None:
                check_patches(image_size, patch_size)
                fitting = [side for side in range(patch_size, image_size, patch_size) if image_size % side == 0]
                wanted = image_size / 7 if stride > patch_size else 2 * patch_size
                if stride > patch_size or wanted in fitting:
                    return min(fitting, key=lambda side: abs(side - wanted))
                return patch_size
            if image_size % self.unit or image_size == self.unit:
                raise InputError(f"methods.simmim.unit={self.unit}: allowed are divisors of the view size {image_size}, below it")
            return self.unit

    config: Config
    compares_within_batch = False
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini", positions="relative", drop_path=0.1),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.05, clip=5.0),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.mask_token = MaskToken(self.encoder)
        if isinstance(self.encoder, ViT):
            init_by_depth(self.encoder)
            add_layer_scale(self.encoder, config.layer_scale)
        if isinstance(self.encoder, RelativeViT):
            nn.init.zeros_(self.encoder.bias)
        self.stride = stride_of(self.encoder, parts.image_size)
        self.unit = config.unit_of(parts.image_size, self.mask_token.patch_size, self.stride)
        self.head = nn.Conv2d(self.encoder.dim, self.stride**2 * self.encoder.in_channels, 1)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        prediction, mask = self.reconstruct(images)
        hidden = mask_at(mask, side_of(images, self.unit), images.shape[3]).view(len(images), 1, *images.shape[2:])
        return Output(masked_l1(prediction, self.encoder.normalize(images), hidden))

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """-> predicted images (B, C, H, W), normalized; mask (B, U), 1 for the squares that are hidden."""
        units = side_of(images, self.unit)
        _, _, mask = draw_masking(images, units**2, self.config.mask_fraction)
        with self.mask_token.over(self.encoder, mask_at(mask, units, side_of(images, self.mask_token.patch_size))):
            features = self.encoder.map(images)  # (B, D, H / S, W / S)
        return F.pixel_shuffle(self.head(features), self.stride), mask

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (masked input, reconstruction with the visible squares put back, original)."""
        images, unit = batch.views["global"][0][:8], self.unit
        prediction, mask = self.reconstruct(images)
        return {"reconstructions": reconstructions(self.encoder, images, patchify(prediction, unit), mask, unit, normalized=False)}


def stride_of(encoder: Encoder, image_size: int) -> int:
    """Px of the image for each place of the last map. Raises InputError where earlier maps are padded: places would not lie on
    their pixels."""
    if isinstance(encoder, TimmEncoder):
        coarsest = int(encoder.model.feature_info[-1]["reduction"])
        if image_size % coarsest:
            raise InputError(
                f"backbone.name={encoder.name!r} pads views of {image_size} px on the way to places of {coarsest} px; "
                f"method='simmim' needs a multiple of {coarsest}"
            )
    return image_size // encoder.map_side(image_size)
