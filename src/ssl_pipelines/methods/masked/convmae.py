"""ConvMAE (MCMAE): a masked autoencoder whose encoder begins with convolutions that hidden places cannot leak through.

Gao et al., NeurIPS 2022, arXiv:2205.03892.

The mask is drawn on the grid of tokens and repeated on the finer grids of two convolution stages; the transformer sees visible tokens
alone; both stages' maps are added to its output before the last norm, and MAE's decoder predicts MAE's targets.

Differs: strides of 2, 2 and 1 px instead of 4, 2 and 2 where patches have 4 px (of half the side, 2 and 1 for other even ones, of the
whole side for odd ones), and the settings of MAE here, for small images and short runs. As theirs, the fused maps serve pretraining
alone: what is evaluated is the mean of the last block's tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
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
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.conv_vit import ConvViT, merged
from ssl_pipelines.networks.vit import ViT, init_transformer
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import draw_masking, mask_at

Stride = Annotated[int, Field(ge=1, le=64)]


class ConvMAE(Method):
    class Config(VisiblePatchesConfig):
        name: Literal["convmae"] = "convmae"
        normalize_targets: bool = True
        """Whether each true patch is brought to mean 0 and standard deviation 1 before it is predicted, which improves features in
        MAE's paper."""
        strides: tuple[Stride, Stride, Stride] | None = None
        """Steps of the two convolution stages and of the tokens, the first in px, the others in places of the map before; their product
        is the patch size. Null follows the patch size (4, 2 and 2 for 16 px)."""
        conv_depth: int = Field(default=2, ge=1, le=12)
        """Number of blocks of each convolution stage. The paper takes 2."""
        kernel: Literal[3, 5, 7, 9] = 5
        """Side of the convolutions' kernels in places. The paper takes 5."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            super().check_run(batch_size, backbone)
            if prod(self.strides_of(backbone.patch_size)) != backbone.patch_size:
                found = f"methods.convmae.strides={self.strides and list(self.strides)}"
                raise InputError(f"{found} and backbone.patch_size={backbone.patch_size}: allowed are strides whose product it is")

        def strides_of(self, patch_size: int) -> tuple[int, int, int]:
            """Steps of both stages (px, places) and of the tokens (places): 4, 2 and 2 for the paper's 16 px, 2, 2 and 1 for 4
            px."""
            if self.strides:
                return self.strides
            if patch_size % 4 == 0:
                first = 4 if patch_size >= 16 and patch_size % 8 == 0 else 2
                return first, 2, patch_size // (2 * first)
            return (patch_size, 1, 1) if patch_size % 2 else (patch_size // 2, 2, 1)

    config: Config
    needs = ("vit",)
    compares_within_batch = False
    encoder: ConvViT
    recipe = RECIPE

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        vit = parts.build_encoder()
        assert isinstance(vit, ViT)
        strides = config.strides_of(vit.patch_size)
        self.encoder = ConvViT(vit, strides, config.conv_depth, config.kernel)
        self.patch_size = vit.patch_size
        check_patches(parts.image_size, self.patch_size)
        self.places = (strides[1] * strides[2], strides[2])  # of each stage, along the side of a token
        self.fusion = nn.ModuleList(nn.Linear(n**2 * d, vit.dim) for n, d in zip(self.places, self.encoder.dims[:2], strict=True))
        init_transformer(self.fusion)
        self.norm = nn.LayerNorm(vit.dim)
        self.decoder = config.decoder_of(vit.dim, self.patch_size**2 * vit.in_channels, prefix=0)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        return Output(masked_patch_loss(*self.reconstruct(images)))

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> predicted and true patches (B, T, P P C), mask (B, T) with 1 where hidden."""
        side = side_of(images, self.patch_size)
        visible, restore, mask = draw_masking(images, side**2, self.config.mask_fraction)
        prediction = self.decoder(self.encode_visible(images, visible, mask), restore, (side, side))
        return prediction, true_patches(self.encoder, images, self.patch_size, normalized=self.config.normalize_targets), mask

    def encode_visible(self, images: Tensor, visible: Tensor, mask: Tensor) -> Tensor:
        """-> (B, T', D): visible tokens with both stages' maps."""
        side = side_of(images, self.patch_size)
        masks = [mask_at(mask, side, side * n).unflatten(1, (side * n, -1)) for n in self.places]  # the same squares of the image
        *maps, tokens = self.encoder.maps(images, masks)
        x = self.encoder.transform(rows_at(tokens, visible))[-1]
        for layer, stage, n in zip(self.fusion, maps, self.places, strict=True):
            x = x + layer(rows_at(merged(stage, n).flatten(1, 2), visible))
        return self.norm(x)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (masked input, reconstruction with the visible patches put back, original)."""
        images, size, normalized = batch.views["global"][0][:8], self.patch_size, self.config.normalize_targets
        prediction, _, mask = self.reconstruct(images)
        return {"reconstructions": reconstructions(self.encoder, images, prediction, mask, size, normalized=normalized)}
