"""LocalMIM: several blocks of the encoder each predict the hidden parts, early ones on fine cells, late ones on coarse cells.

Wang H. et al., CVPR 2023, arXiv:2303.05251.

The encoder sees visible patches alone. The tokens of a chosen block go through a norm and a decoder of their own to histograms of oriented gradients
(or normalized pixels) of cells finer or coarser than the patches; a coarse cell counts by the share of it that is hidden.

Differs: of the paper's four scales those whose cells have 2 px or more and whose grids are whole, so all at patches of 8 or 16 px, but
three at the 4 px that images of 32 px have; no more than the encoder has blocks, each with one decoder at most (in 12 blocks they stand
as the paper's); the last block's norm is the encoder's own; flat cells are 0, up to rounding; otherwise the settings of MAE here, for
small images and short runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        """What is predicted of each cell: histograms of oriented gradients (`hog`) or its normalized pixels. The paper finds HOG
        better."""
        bins: int = Field(default=9, ge=2, le=36)
        """Number of orientations of a histogram, with target=hog. The paper takes 9."""
        scales: tuple[float, ...] | None = None
        """Numbers of cells along the side of a patch, fine to coarse, one decoder each; null is those of the paper's 4, 2, 1 and
        0.5 that fit the patches."""
        blocks: tuple[int, ...] | None = None
        """Blocks of the encoder that have a decoder, counted from 1, one a scale, the last one included; null is the paper's shares
        of the depth."""
        decoder_depth: int = Field(default=1, ge=1, le=24)

        @model_validator(mode="after")
        def _fine_to_coarse(self) -> Self:
            if self.scales is not None:
                if not set(self.scales) or list(self.scales) != [s for s in SCALES if s in self.scales]:
                    raise ValueError(f"scales={list(self.scales)}: falling numbers of {', '.join(map(str, SCALES))} are allowed")
                if self.blocks is not None and len(self.blocks) != len(self.scales):
                    raise ValueError(f"blocks={list(self.blocks)}: one for each of the {len(self.scales)} scales is allowed")
            if self.target == "pixels" and self.bins != type(self).model_fields["bins"].default:
                raise ValueError(f"bins={self.bins} is read by target=hog; with target=pixels it would be ignored")
            return self

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            super().check_run(batch_size, backbone)
            depth, patch_size = backbone.depth or VITS[backbone.name][1], backbone.patch_size
            check_blocks("methods.local_mim.blocks", self.blocks, depth)
            for scale in self.scales or ():
                if not whole(scale, patch_size):
                    found = f"methods.local_mim.scales={list(self.scales or ())} with backbone.patch_size={patch_size}"
                    raise InputError(f"{found}: cells of {patch_size / scale:g} px; allowed are whole ones of 2 px or more")
            if len(self.scales or ()) > depth:
                found = f"methods.local_mim.scales={list(self.scales or ())} need a block each, backbone.depth={depth}"
                raise InputError(f"{found}: up to {depth} scales are allowed")

        def scales_of(self, patch_size: int, grid: int, depth: int) -> tuple[float, ...]:
            """The given scales, or else those of the paper that fit, without the finest where there are more than blocks.

            Raises InputError for some that do not fit the grid, or another number than that of the given blocks."""
            if self.scales is None:
                fitting = [s for s in SCALES if whole(s, patch_size) and (s >= 1 or grid % 2 == 0)][-depth:]
                if self.blocks is not None and len(self.blocks) != len(fitting):
                    found = f"methods.local_mim.blocks={list(self.blocks)}"
                    raise InputError(f"{found}: one for each scale is allowed, here they are {fitting}")
                return tuple(fitting)
            if self.scales[-1] < 1 and grid % 2:
                found = f"methods.local_mim.scales={list(self.scales)}: 0.5 needs an even number of patches a side"
                raise InputError(f"{found}, here are {grid}")
            return self.scales

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
        depth = len(self.encoder.blocks)
        self.scales = config.scales_of(size, parts.image_size // size, depth)
        self.taps = config.blocks or taps_of(self.scales, depth)
        self.norms = nn.ModuleList(nn.LayerNorm(self.encoder.dim) for _ in self.taps[:-1])
        self.cells = [round(size / scale) for scale in self.scales]  # px
        widths = [self.encoder.in_channels * (config.bins if config.target == "hog" else cell**2) for cell in self.cells]
        self.decoders = nn.ModuleList(
            ScaleDecoder(config.decoder_of(self.encoder.dim, None), scale, out)
            for scale, out in zip(self.scales, widths, strict=True)
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
        return predictions, [mask_at(mask, side, round(side * scale)) for scale in self.scales]

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
        cell, hidden = self.cells[0], (mask > 0).float()  # a coarse cell is hidden where a part of it is
        if self.config.target == "pixels":
            return {"reconstructions": reconstructions(self.encoder, images, prediction, hidden, cell, normalized=True)}
        truth, hidden = self.targets(images)[0], hidden.unsqueeze(2)
        columns = (truth * (1 - hidden), prediction * hidden + truth * (1 - hidden), truth)
        return {
            "histograms": torch.stack(
                [glyphs(rows, side_of(images, cell), 8, self.config.bins) for rows in columns], dim=1
            ).flatten(0, 1)
        }


def whole(scale: float, patch_size: int) -> bool:
    """Whether a patch's side divided by `scale` is a whole number of px, 2 or more."""
    return patch_size >= 2 * scale and (patch_size / scale).is_integer()


def taps_of(scales: Sequence[float], depth: int) -> tuple[int, ...]:
    """The block of each scale, from 1: at the paper's share of the depth, but the last one at the end and no two at one block."""
    taps = [*blocks_of(depth, [PLACES[scale] for scale in scales[:-1]]), depth]
    for k in range(1, len(taps)):
        taps[k] = max(taps[k], taps[k - 1] + 1)
    return tuple(min(tap, depth - (len(taps) - 1 - k)) for k, tap in enumerate(taps))
