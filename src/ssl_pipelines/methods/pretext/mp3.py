"""MP3: from where in the image is each patch? A transformer without positions answers. Zhai et al., ICML 2022, arXiv:2207.07611.

Patches enter without positions, a random subset of them is the context: keys and values of every layer come from it alone. A linear
layer on every patch's last token, in the context or not, classifies its place among all: cross entropy, the mean over patches and
images. What is evaluated sees all patches as context; fine-tuning may add positions.

Differs: half of the patches are context; no class token, an image is the mean over its patches, and which block is
judged is chosen on validation (the paper fine-tunes); positions in fine-tuning are fixed sines and cosines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.patches import patchify, unpatchify
from ssl_pipelines.networks.positionless import PositionlessViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.masks import random_masking
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

FLAT = 0.01  # largest standard deviation of a patch's channels, in [0, 1], at which nothing tells where the patch lies


class MP3(Method):
    class Config(MethodConfig):
        name: Literal["mp3"] = "mp3"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5))
        mask_fraction: float = Field(default=0.5, ge=0, lt=1)
        """Share of the patches that are no context: queries only, to be located like the others. Raise it to make the task
        harder."""
        finetune_positions: bool = True
        """Whether fine-tuning adds fixed positions to the patches."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.positions != "sincos":
                raise InputError(
                    f"backbone.positions={backbone.positions!r} would be ignored: method='mp3' predicts positions. Allowed: sincos"
                )

    config: Config
    needs = ("vit",)
    compares_within_batch = False
    judged_at = "best"
    encoder: PositionlessViT
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini"),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = PositionlessViT(parts.build_encoder())  # type: ignore[arg-type]
        self.classifier = nn.Linear(self.encoder.dim, (parts.image_size // self.encoder.patch_size) ** 2)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, H, W)
        logits = self.locate(images, self.draw_context(images))  # (B, T, T)
        place = torch.arange(logits.shape[1], device=images.device).expand(logits.shape[:2])  # (B, T)
        right = (logits.argmax(2) == place).float()
        pixels = patchify(images, self.encoder.patch_size).unflatten(2, (-1, images.shape[1]))  # (B, T, P P, C)
        told = (pixels.std(2).amax(2) > FLAT).float()
        metrics = {"accuracy": right.mean(), "accuracy_textured": (right * told).sum() / told.sum().clamp(min=1)}
        return Output(F.cross_entropy(logits.flatten(0, 1), place.flatten()), metrics=metrics)

    def draw_context(self, images: Tensor) -> Tensor:
        """(B, T) bool: another subset of the same size for every image."""
        count = self.classifier.out_features
        keep = max(1, int(count * (1 - self.config.mask_fraction)))
        _, _, mask = random_masking(rand_rows(len(images), count, device=images.device), keep)
        return mask == 0

    def locate(self, images: Tensor, context: Tensor) -> Tensor:
        """(B, C, H, W), (B, T) -> (B, T, T): for each patch, a logit a place."""
        logits: Tensor = self.classifier(self.encoder.encode_tokens(self.encoder.embed(images), context)[-1])
        return logits

    def finetune_features(self, images: Tensor) -> Tensor:
        tokens = self.encoder.embed(images, positions=self.config.finetune_positions)
        return self.encoder.encode_tokens(tokens)[-1].mean(1)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        images = batch.views["global"][0][:8]
        size, (height, width) = self.encoder.patch_size, images.shape[2:]
        patches, context = patchify(images, size), self.draw_context(images)  # (n, T, P P C), (n, T)
        seen = torch.where(context.unsqueeze(2), patches, 0.5)
        source, filled = claimed_by(self.locate(images, context))
        moved = patches.gather(1, source.unsqueeze(2).expand_as(patches))
        put = torch.where(filled.unsqueeze(2), moved, 0.5)
        rows = [unpatchify(seen, size, height, width), unpatchify(put, size, height, width), images]
        return {"positions": torch.stack(rows, 1).flatten(0, 1)}


def claimed_by(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, T) logits of patch and place -> for each place (B, T) the patch that claims it, and whether one does.

    A patch claims its likeliest place; of several the surest has it."""
    sure = logits.softmax(2)
    claims = torch.where(sure == sure.amax(2, keepdim=True), sure, 0.0)
    strength, patch = claims.max(1)
    return patch, strength > 0
