"""BEiT: predict the discrete codes of the hidden patches of an image. Bao et al., ICLR 2022, arXiv:2106.08254.

A finished tokenizer (a dVAE) turns the whole image into one code a patch; the encoder sees the image with two fifths of its patches,
in blocks, replaced by a learnt vector, and predicts their codes. The codes are of an earlier training of its own, never learnt
along: without `pretrain.upstream.tokenizer` the pipeline trains a `dvae` of the same budget first.

What is evaluated is the mean of the patch tokens, as the paper fine-tunes; for a linear probe the block is chosen on validation, for
the last ones serve the codes. Differs: patches and codes of as many px, both at the image's own size (4 px of 32, 16 of 224), suit
small images; so do crops of at least a fifth, rectangles of at least a sixteenth of the patches (16 of 196), and a higher learning
rate. With `pretrain.accumulate` above 1 the loss is the mean of the micro-batches' means, whose masks differ a little in size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import local_rows, world_size
from ssl_pipelines.losses.masked_tokens import masked_token_loss, mean_count
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.methods.first_runs import FirstRuns
from ssl_pipelines.methods.tokenizer import Tokenizer, as_tokenizer
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.layer_scale import add_layer_scale, init_by_depth
from ssl_pipelines.networks.mask_token import MaskToken
from ssl_pipelines.networks.patches import patchify, unpatchify
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.block_masks import block_masks
from ssl_pipelines.views.plan import ViewGroup, ViewPlan, ViewRecipe, bicubic

TOKENIZER = "pretrain.upstream.tokenizer"
STRIDES = (1, 2, 4, 8, 16, 32)  # of a ResNet


class BEiT(Method, FirstRuns):
    class Config(MethodConfig):
        name: Literal["beit"] = "beit"
        views: ViewPlan = bicubic(
            ViewPlan(
                groups={
                    "global": ViewGroup(recipe=ViewRecipe(scale=(0.2, 1.0), flip=0.5)),
                    "tokenizer": ViewGroup(same_as="global"),  # its `size` may be another one: the paper's is half the image's
                }
            )
        )
        mask_fraction: float = Field(default=0.4, gt=0, lt=1)
        """Share of the patches that are hidden, in blocks. The paper takes 0.4."""
        least_block: int | None = Field(default=None, ge=1, le=4096)
        """Smallest number of patches of a hidden rectangle; null is a sixteenth of all, about the paper's 16 of 196."""
        aspect: float = Field(default=0.3, gt=0, lt=1)
        """Smallest height over width of a hidden rectangle; the largest is its inverse. The paper takes 0.3."""
        layer_scale: float = Field(default=0.1, gt=0, le=1)
        """Factor of the residual branches at first, learnt from there on. The paper takes 0.1; lower it for deep encoders."""
        num_tokens: int | None = Field(default=None, ge=2, le=65536)
        """Number of codes of the tokenizer; null is the tokenizer's own, and another number is refused."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.positions != "relative":
                raise InputError(
                    f"backbone.positions={backbone.positions!r} would be ignored: method='beit' has relative ones alone"
                )

    config: Config
    encoder: RelativeViT
    needs = ("vit",)
    upstream = ("tokenizer",)
    trained_first: ClassVar[Mapping[str, str]] = {"tokenizer": "dvae"}
    upstream_same_size = False
    compares_within_batch = False
    judged_at = "best"
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini", positions="relative"),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05, clip=3.0),
        batch_size=64,
    )

    @classmethod
    def fitted(cls, config: Any, upstream: Mapping[str, nn.Module]) -> Any:
        found = as_tokenizer(upstream["tokenizer"], TOKENIZER).num_tokens
        if config.num_tokens not in (None, found):
            raise InputError(f"methods.beit.num_tokens={config.num_tokens} is refused: the tokenizer has {found}")
        return config.model_copy(update={"num_tokens": found})

    @classmethod
    def first_run(cls, name: str, config: Any, backbone: BackboneConfig, image_size: int) -> dict[str, Any]:
        """The parameters of a tokenizer with one code for each patch."""
        size, grid = config.views.groups["tokenizer"].size or image_size, image_size // backbone.patch_size
        stride = size // grid
        if size != stride * grid or stride not in STRIDES:
            raise InputError(
                f"backbone.patch_size={backbone.patch_size} gives {grid} x {grid} patches of {image_size} px, for which no tokenizer of "
                f"{size} px can be trained: {', '.join(map(str, STRIDES))} px a code are allowed"
            )
        return {"backbone": {"output_stride": stride}}

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder(positions="relative")  # type: ignore[assignment]
        self.grid = parts.image_size // self.encoder.patch_size
        init_by_depth(self.encoder)
        nn.init.zeros_(self.encoder.bias)
        add_layer_scale(self.encoder, config.layer_scale)
        self.mask_token = MaskToken(self.encoder)
        self.head = nn.Linear(self.encoder.dim, config.num_tokens or 2)
        nn.init.trunc_normal_(self.head.weight, std=0.02, a=-0.02, b=0.02)
        nn.init.zeros_(self.head.bias)
        if self.grid < 2:
            raise InputError(
                f"backbone.patch_size={self.encoder.patch_size} leaves one patch of {parts.image_size} px: nothing to hide"
            )
        if parts.upstream:
            self._check_grid(config.views.groups["tokenizer"].size or parts.image_size)

    def _check_grid(self, size: int) -> None:
        theirs = math.isqrt(self.tokenizer.tokens(torch.zeros(1, self.encoder.in_channels, size, size)).shape[1])
        if theirs != self.grid:
            shown = [f"{side} x {side}" for side in (theirs, self.grid)]
            raise InputError(
                f"{TOKENIZER} gives {shown[0]} codes for {size} px, the encoder has {shown[1]} patches: "
                "set methods.beit.views.groups.tokenizer.size, or backbone.patch_size"
            )

    @property
    def tokenizer(self) -> Tokenizer:
        return as_tokenizer(self.finished("tokenizer"), TOKENIZER)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images], [seen] = batch.views["global"], batch.views["tokenizer"]  # (B, C, H, W); the same crops for the tokenizer
        mask = self.masks(len(images))  # (B, T)
        hidden = to_device(mask.flatten().nonzero().squeeze(1), images.device)  # (M,)
        tokens = self.tokenizer.tokens(seen).flatten()[hidden]  # (M,)
        encoded = self.encoded(images, to_device(mask, images.device)).flatten(0, 1)  # (B T, D)
        logits, count = self.head(encoded[hidden]), mean_count(mask)  # (M, K)
        right = (logits.argmax(1) == tokens).sum() / count
        return Output(masked_token_loss(logits, tokens, count), {"accuracy": right})

    def masks(self, rows: int) -> Tensor:
        """(B, T) bool, on the CPU: this rank's part of a draw for the global batch."""
        patches, whole = self.grid**2, rows * world_size()
        targets = torch.full((whole,), int(self.config.mask_fraction * patches) or 1)
        least = self.config.least_block or max(1, patches // 16)
        return block_masks(targets, self.grid, self.grid, least, self.config.aspect)[local_rows(whole)].flatten(1)

    def encoded(self, images: Tensor, mask: Tensor) -> Tensor:
        """-> (B, T, D): the patch tokens of images of which the encoder does not see what is masked."""
        with self.mask_token.over(self.encoder, mask):
            tokens = self.encoder.embed(images)
        return self.encoder.encode_tokens(tokens)[-1][:, 1:]

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (what the encoder sees, the tokenizer's picture of the codes with the hidden ones as predicted, of the true codes, image)."""
        images, seen = batch.views["global"][0][:8], batch.views["tokenizer"][0][:8]
        mask, size = to_device(self.masks(len(images)), images.device), self.encoder.patch_size
        true = self.tokenizer.tokens(seen)
        filled = torch.where(mask, self.head(self.encoded(images, mask)).argmax(2), true)
        patches = patchify(images, size)
        hidden = unpatchify(torch.where(mask.unsqueeze(2), 0.5, patches), size, *images.shape[2:])
        shown = [self.tokenizer.picture_of(tokens) for tokens in (filled, true)]
        shown = [nn.functional.interpolate(picture, images.shape[2:]) for picture in shown]
        return {"predicted_codes": torch.stack([hidden, *shown, images], dim=1).flatten(0, 1)}
