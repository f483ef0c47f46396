"""LocalMIM: several blocks of the encoder each predict the hidden parts, early ones on fine cells, late ones on coarse cells.

The encoder sees visible patches alone. The tokens of a chosen block go through a norm and a decoder of their own to histograms of oriented gradients
(or normalized pixels) of cells finer or coarser than the patches; a coarse cell counts by the share of it that is hidden.
Wang H. et al., CVPR 2023, arXiv:2303.05251.

Differs: three scales, for the finest (a quarter of a patch) would be cells of one pixel; the last block's norm is the encoder's own;
otherwise the settings of MAE here, for small images and short runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.algorithms.hog import glyphs, hog
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.masked_pixels import masked_patch_loss
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.masked_patches import (
    RECIPE,
    VisiblePatchesConfig,
    blocks_of,
    check_blocks,
    check_patches,
    reconstructions,
    rows_at,
    side_of,
    true_patches,
)
from ssl_pipelines.networks.config import VITS, BackboneConfig
from ssl_pipelines.networks.scale_decoder import SCALES, ScaleDecoder
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import draw_masking, mask_at

PLACES = {4.0: 1 / 6, 2.0: 1 / 3, 1.0: 5 / 6, 0.5: 1.0}  # blocks 2, 4, 10, 12 of 12


class LocalMIM(Method):
    class Config(VisiblePatchesConfig):
        name: Literal["local_mim"] = "local_mim"
        target: Literal["hog", "pixels"] = "hog"
        bins: int = Field(default=9, ge=2, le=36)  # of orientation; hog
        scales: tuple[float, ...] = (2.0, 1.0, 0.5)  # cells along the side of a patch, fine to coarse
        blocks: tuple[int, ...] | None = None  # from 1, one a scale, the last one included; null: the paper's shares of the depth
        decoder_depth: int = Field(default=1, ge=1, le=24)

        @model_validator(mode="after")
        def _fine_to_coarse(self) -> Self:
            if not self.scales or any(s not in SCALES for s in self.scales) or list(self.scales) != sorted(set(self.scales))[::-1]:
                raise ValueError(f"scales={list(self.scales)}: falling numbers of {', '.join(map(str, SCALES))} are allowed")
            if self.blocks is not None and len(self.blocks) != len(self.scales):
                raise ValueError(f"blocks={list(self.blocks)}: one for each of the {len(self.scales)} scales is allowed")
            if self.target == "pixels" and self.bins != type(self).model_fields["bins"].default:
                raise ValueError(f"bins={self.bins} is read by target=hog; with target=pixels it would be ignored")
            return self

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            super().check_run(batch_size, backbone)
            check_blocks("methods.local_mim.blocks", self.blocks, backbone.depth or VITS[backbone.name][1])
            if backbone.patch_size / self.scales[0] < 2:
                found = f"methods.local_mim.scales={list(self.scales)} with backbone.patch_size={backbone.patch_size}"
                raise InputError(f"{found} make cells below 2 px; allowed are scales up to {backbone.patch_size / 2:g}")

    config: Config
    needs = ("vit",)
    compares_within_batch = False
    encoder: ViT
    recipe = RECIPE

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()  # type: ignore[assignment]
        size = self.encoder.patch_size
        check_patches(parts.image_size, size)
        if config.scales[-1] < 1 and parts.image_size // size % 2:
            found = f"methods.local_mim.scales={list(config.scales)}: 0.5 needs an even number of patches a side"
            raise InputError(f"{found}, here are {parts.image_size // size}")
        shares = [PLACES[scale] for scale in config.scales[:-1]]
        self.taps = config.blocks or (*blocks_of(len(self.encoder.blocks), shares), len(self.encoder.blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(self.encoder.dim) for _ in self.taps[:-1])
        self.cells = [round(size / scale) for scale in config.scales]  # px
        widths = [self.encoder.in_channels * (config.bins if config.target == "hog" else cell**2) for cell in self.cells]
        self.decoders = nn.ModuleList(
            ScaleDecoder(config.decoder_of(self.encoder.dim, None), scale, out)
            for scale, out in zip(config.scales, widths, strict=True)
        )

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        predictions, masks = self.predict(images)
        losses = [masked_patch_loss(*row) for row in zip(predictions, self.targets(images), masks, strict=True)]
        named = {f"loss_{cell}px": loss.detach() for cell, loss in zip(self.cells, losses, strict=True)}
        return Output(torch.stack(losses).sum(), named)

    def predict(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """-> for each scale the predicted cells (B, T_k, D_k) and the share of each that is hidden (B, T_k)."""
        side = side_of(images, self.encoder.patch_size)
        visible, restore, mask = draw_masking(images, side**2, self.config.mask_fraction)
        outputs = self.encoder.encode_tokens(rows_at(self.encoder.embed(images), visible))  # the last one is normed
        tapped = [norm(outputs[block - 1]) for norm, block in zip(self.norms, self.taps, strict=False)] + [outputs[-1]]
        predictions = [decoder(x, restore, (side, side)) for decoder, x in zip(self.decoders, tapped, strict=True)]
        return predictions, [mask_at(mask, side, round(side * scale)) for scale in self.config.scales]

    @torch.no_grad()
    def targets(self, images: Tensor) -> list[Tensor]:
        """(B, T_k, D_k), fine to coarse."""
        if self.config.target == "pixels":
            return [true_patches(self.encoder, images, cell, normalized=True) for cell in self.cells]
        return [hog(self.encoder.normalize(images), cell, self.config.bins) for cell in self.cells]

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (masked input, prediction of the finest cells with the visible ones put back, truth); histograms as stars."""
        images = batch.views["global"][0][:8]
        (prediction, *_), (mask, *_) = self.predict(images)
        cell = self.cells[0]
        if self.config.target == "pixels":
            return {"reconstructions": reconstructions(self.encoder, images, prediction, mask, cell, normalized=True)}
        truth, hidden = self.targets(images)[0], mask.unsqueeze(2)
        columns = (truth * (1 - hidden), prediction * hidden + truth * (1 - hidden), truth)
        return {
            "histograms": torch.stack(
                [glyphs(rows, side_of(images, cell), 8, self.config.bins) for rows in columns], dim=1
            ).flatten(0, 1)
        }
