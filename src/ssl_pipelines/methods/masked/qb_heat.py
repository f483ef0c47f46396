"""QB-Heat: encode one quarter of an image, carry its features linearly over the other three, decode. Chen, Y. et al., 2022, arXiv:2211.13228.

The heat equation without time, split into z_x = A z and z_y = B z, says how features change from place to place: (I + dx A) z and
(I + dy B) z lie dx and dy beside z. Only a block of exactly a quarter is encoded, by any encoder with a map; a small decoder paints
the whole image from the extended map. The loss is the squared error of the pixels outside the block.

Differs: what the paper's abstract leaves open is configuration. `steps="unit"` takes dx = 1 as often as needed, "long" the whole way
at once; A and B are the same to either side; the diagonal quarter is reached along x first (A and B need not commute while they are
learned); blocks lie in a corner or the center; a ResNet has 4 px a place, or what gives larger images at most 16 x 16 places and
halves of other sides whole ones (2 px of 28). Our ViTs read the block with the positions that it has in the image. A batch norm's
statistics, where there is one, are those of blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ssl_pipelines.algorithms.principal_colors import principal_colors
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import UNPADDED, BackboneConfig
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.linear_extension import LinearExtension
from ssl_pipelines.networks.map_decoder import MapDecoder
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.patches import cut_patches
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view
from ssl_pipelines.views.quarter_blocks import Where, hidden_places, quarter_corners


class QBHeat(Method):
    class Config(MethodConfig):
        name: Literal["qb_heat"] = "qb_heat"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5))
        steps: Literal["unit", "long"] = "unit"
        """How features are carried over the image: place by place (`unit`), or the whole way at once (`long`)."""
        block: Where = "corners_and_center"
        """Where the visible quarter may lie: in the corners, there and in the center, or anywhere."""
        loss_on: Literal["hidden", "all"] = "hidden"
        """Pixels whose errors count: those outside the visible block, or all."""
        decoder_dim: int = Field(default=128, ge=8, le=4096)
        """Width of the decoder from the map to pixels."""
        decoder_depth: int = Field(default=2, ge=0, le=24)
        """Number of the decoder's residual blocks."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.name in UNPADDED:
                raise InputError(
                    f"method='qb_heat' encodes blocks of half the side, backbone.name={backbone.name!r} takes one size alone"
                )
            if backbone.positions == "relative":
                raise InputError(
                    "method='qb_heat' encodes some of the tokens, backbone.positions='relative' needs all. Allowed: sincos"
                )

    config: Config
    compares_within_batch = False
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=4),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05, clip=3.0),
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        dim, self.side = block_map(self.encoder, parts.image_size)
        self.stride = parts.image_size // 2 // self.side  # px a place
        self.extension = LinearExtension(dim, unit_steps=config.steps == "unit")
        self.decoder = MapDecoder(dim, config.decoder_dim, config.decoder_depth, self.stride, self.encoder.in_channels)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, H, W)
        corners = self.draw_corners(images)
        block = self.encode_block(images, corners)  # (B, D, h, h)
        whole = self.extension(block, corners)  # (B, D, 2 h, 2 h)
        error = (self.decoder(whole) - self.encoder.normalize(images)).square().mean(1)  # (B, H, W)
        weight = self.hidden_pixels(corners).to(error) if self.config.loss_on == "hidden" else torch.ones_like(error)
        growth = (whole.square().mean() / block.square().mean()).sqrt().detach()  # a power of I + A may explode
        return Output((error * weight).sum() / weight.sum(), metrics={"growth": growth})

    def draw_corners(self, images: Tensor) -> Tensor:
        """(B, 2) int64: top and left of an image's block, in places of the map."""
        allowed = quarter_corners(self.side, self.config.block).to(images.device)
        return allowed[(rand_rows(len(images), device=images.device) * len(allowed)).long()]

    def encode_block(self, images: Tensor, corners: Tensor) -> Tensor:
        """(B, C, H, W), (B, 2) -> (B, D, h, h): the map of the block alone."""
        h = self.side
        if isinstance(self.encoder, ViT):
            place = torch.arange(h, device=images.device)
            rows, columns = (corners.unsqueeze(2) + place).unbind(1)  # (B, h) each
            inside = (rows.unsqueeze(2) * 2 * h + columns.unsqueeze(1)).flatten(1)  # (B, h h)
            tokens = self.encoder.embed(images)
            tokens = tokens.gather(1, inside.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
            return self.encoder.encode_tokens(tokens)[-1][:, 1:].transpose(1, 2).unflatten(2, (h, h))
        return self.encoder.map(cut_patches(images, corners.unsqueeze(1) * self.stride, h * self.stride)[:, 0])

    def hidden_pixels(self, corners: Tensor) -> Tensor:
        """(B, 2) -> (B, H, W), 1 outside the block."""
        return hidden_places(corners, self.side).repeat_interleave(self.stride, 1).repeat_interleave(self.stride, 2)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        images = batch.views["global"][0][:8]
        corners = self.draw_corners(images)
        whole = self.extension(self.encode_block(images, corners), corners)
        hidden = self.hidden_pixels(corners).unsqueeze(1).to(images)
        painted = (self.decoder(whole) * self.encoder.std + self.encoder.mean).clamp(0, 1)
        seen = images * (1 - hidden) + 0.5 * hidden
        rows = [seen, painted * hidden + images * (1 - hidden), images]
        found = {"reconstructions": torch.stack(rows, 1).flatten(0, 1)}
        colors = principal_colors(torch.stack([whole, self.true_map(images)], 1).flatten(0, 1))  # (2 n, 3, 2 h, 2 h)
        large = colors.repeat_interleave(self.stride, 2).repeat_interleave(self.stride, 3).unflatten(0, (-1, 2))
        shown = seen.expand(-1, 3, -1, -1) if seen.shape[1] == 1 else seen[:, :3]
        return found | {"feature_maps": torch.cat([shown.unsqueeze(1), large], 1).flatten(0, 1)}

    def true_map(self, images: Tensor) -> Tensor:
        """(B, D, 2 h, 2 h): each quarter encoded by itself, as the block is."""
        whole = torch.zeros(len(images), self.extension.across.shape[0], 2 * self.side, 2 * self.side).to(images)
        for corner in quarter_corners(self.side, "corners").to(images.device):
            top, left = corner.tolist()
            quarter = self.encode_block(images, corner.expand(len(images), 2))
            whole[:, :, top : top + self.side, left : left + self.side] = quarter
        return whole


@torch.no_grad()
def block_map(encoder: Encoder, image_size: int) -> tuple[int, int]:
    """(D, h) of the map of a block of half the side. Raises InputError where such a block does not suit the encoder."""
    half = image_size // 2
    encoder.check_sizes([half])
    dim, side, _ = encoder.eval().map(torch.zeros(1, encoder.in_channels, half, half)).shape[1:]
    encoder.train()
    if image_size % (2 * side):
        raise InputError(
            f"methods.qb_heat.views.size={image_size}: a block of half the side has a map of {side}x{side}, "
            f"so a multiple of {2 * side} px is allowed"
        )
    if dim != encoder.dim:
        raise InputError(
            f"method='qb_heat' trains the last map of {dim} channels; backbone.name widens it to {encoder.dim} behind it"
        )
    return dim, side
