"""iBOT: DINO whose student sees large crops with hidden patches, and also gives each of them the teacher's distribution of that patch.
Zhou et al., ICLR 2022, arXiv:2111.07832.

The teacher is the tokenizer, learnt along: its patch tokens of the whole crop, through the head that it shares with the class token,
are centered (by a center of their own), sharpened, and predicted where the student's input was masked. The class token's loss is DINO's.
Half of the large crops are masked, by rectangles with a tenth to a half of the patches; small crops never are. What is evaluated is the
teacher's class token.

Differs: what DINO's row differs in, for the same reasons, the patches' temperature included (0.04, to 0.07 in the paper's runs); small
crops of about three sevenths of the side, as the paper's 96 of 224 px (16 of 32), in whole patches of the size that a ViT has here for
such images; the head's batch norms have the class tokens' statistics and the patches' apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.distributed import all_reduce_mean, local_rows, world_size
from ssl_pipelines.losses.dino import batch_center, dino, teacher_probabilities
from ssl_pipelines.losses.masked_distillation import masked_distillation
from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.config import OptimizerConfig, Recipe
from ssl_pipelines.methods.distillation.dino import DINO, entropy
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.mask_token import MaskToken
from ssl_pipelines.networks.patches import patchify, unpatchify
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.block_masks import block_masks

MASK_KEYS = ("mask_fraction", "least_block", "aspect")
PATCH_KEYS = ("patch_temperature", "patch_temperature_end")


class IBOT(DINO):
    class Config(DINO.Config):
        name: Literal["ibot"] = "ibot"  # type: ignore[assignment]
        least_local = 0
        masked_share: float = Field(default=0.5, ge=0, le=1)
        """Share of the large crops in which patches are hidden from the student. The paper takes 0.5."""
        mask_fraction: tuple[float, float] = (0.1, 0.5)
        """Smallest and largest share of a masked crop's patches that are hidden, drawn evenly between. The paper takes 0.1 to
        0.5."""
        least_block: int | None = Field(default=None, ge=1, le=4096)
        """Smallest number of patches of a hidden rectangle; null is the square of a third of the grid's side."""
        aspect: float = Field(default=0.3, gt=0, lt=1)
        """Smallest height over width of a hidden rectangle; the largest is its inverse. The paper takes 0.3."""
        patch_weight: float = Field(default=1.0, ge=0, le=100)
        """Weight of the patches' loss beside the class token's. The paper takes 1."""
        patch_temperature: float = Field(default=0.04, gt=0, le=10)
        """Temperature of the teacher's distribution of patches at first, at most `student_temperature`."""
        patch_temperature_end: float = Field(default=0.04, gt=0, le=10)
        """Temperature of the teacher's distribution of patches after its warm-up. Raise it, to the paper's 0.07, for long runs."""

        @model_validator(mode="after")
        def _the_teacher_is_sharper(self) -> Self:
            """Replaces DINO's check: here the warm-up is of the patches' temperature too."""
            ends = [(key, f"{key}_end") for key in ("teacher_temperature", "patch_temperature")]
            for key in (key for pair in ends for key in pair):
                if getattr(self, key) > self.student_temperature:
                    allowed = f"allowed is up to student_temperature={self.student_temperature}"
                    raise ValueError(f"{key}={getattr(self, key)} would not sharpen: {allowed}")
            if all(getattr(self, start) == getattr(self, end) for start, end in ends):
                found = f"the teacher's temperatures stay at {self.teacher_temperature} and {self.patch_temperature}"
                self._refuse_changed(("temperature_warmup_fraction",), found)
            return self

        @model_validator(mode="after")
        def _masks_that_can_be_drawn(self) -> Self:
            low, high = self.mask_fraction
            if not 0 < low <= high < 1:
                raise ValueError(f"mask_fraction={[low, high]}: two numbers low <= high between 0 and 1 are allowed")
            sizes = [self.views.groups[name].size for name in ("first", "second")]
            if sizes[0] != sizes[1]:
                raise ValueError(f"views.groups.first.size={sizes[0]} and second.size={sizes[1]}: the large crops are of one size")
            if not self.masked_share:
                self._refuse_changed((*MASK_KEYS, *PATCH_KEYS, "patch_weight"), "masked_share=0 hides nothing")
            if not self.patch_weight:
                self._refuse_changed(PATCH_KEYS, "patch_weight=0 leaves the patches' loss out")
            return self

        def _refuse_changed(self, keys: Sequence[str], because: str) -> None:
            for key in keys:
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key}={getattr(self, key)} would be ignored: {because}")

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.positions != "sincos":
                found = f"backbone.positions={backbone.positions!r} is made for one size of view"
                raise InputError(f"{found}, method='ibot' has large and small crops; allowed: sincos")

    config: Config
    encoder: ViT
    teacher: ViT
    patch_center: Tensor
    needs = ("vit",)
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini"),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0, clip_per="tensor"),
        batch_size=128,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.grid = (config.views.groups["first"].size or parts.image_size) // self.encoder.patch_size
        if self.grid < 2:
            raise InputError(f"backbone.patch_size={self.encoder.patch_size} leaves one patch of a large crop: nothing to hide")
        self.mask_token = MaskToken(self.encoder)
        self.register_buffer("patch_center", torch.zeros(config.num_prototypes))

    def loss(self, batch: Batch, clock: Clock) -> Output:
        config, large = self.config, batch.crops("first", "second")
        mask = torch.stack([to_device(self.masks(len(x)), x.device) for x in large])  # (2, B, T)
        seen = [self.encoded(x, m) for x, m in zip(large, mask, strict=True)]  # 2 of (B, 1 + T, D)
        pooled = [self.encoder.pool(tokens) for tokens in seen] + [self.encoder(x) for x in batch.crops("local")]  # V of (B, D)
        student = torch.stack([self.head(z) for z in pooled])  # (V, B, K)
        student_patches = torch.stack([by_patch(self.head, tokens) for tokens in seen])  # (2, B, T, K)
        with torch.no_grad():
            whole = [self.teacher.encode_tokens(self.teacher.embed(x))[-1] for x in large]  # 2 of (B, 1 + T, D)
            teacher = torch.stack([self.teacher_head(self.teacher.pool(tokens)) for tokens in whole])  # (2, B, K)
            teacher_patches = torch.stack([by_patch(self.teacher_head, tokens) for tokens in whole])  # (2, B, T, K)
        cls = dino(student, teacher, self.center, config.student_temperature, self.teacher_temperature(clock))
        p = teacher_probabilities(teacher_patches, self.patch_center, self.patch_temperature(clock))
        patches = masked_distillation(student_patches, p, mask, config.student_temperature)
        used = entropy(all_reduce_mean(p.mean((0, 1, 2))))  # 0: all patches are one prototype
        memory = {"center": batch_center(teacher), "patch_center": batch_center(teacher_patches.flatten(1, 2))}
        metrics = {"cls": cls.detach(), "patches": patches.detach(), "patches_used_entropy": used}
        return Output(cls + config.patch_weight * patches, metrics, memory)

    def encoded(self, images: Tensor, mask: Tensor) -> Tensor:
        """-> (B, 1 + T, D): the student's tokens of images of which it does not see what is masked, (B, T)."""
        with self.mask_token.over(self.encoder, mask):
            tokens = self.encoder.embed(images)
        return self.encoder.encode_tokens(tokens)[-1]

    def masks(self, rows: int) -> Tensor:
        """(B, T) bool, on the CPU: this rank's part of a draw for the global batch. A share of the images has none hidden."""
        whole, patches, config = rows * world_size(), self.grid**2, self.config
        low, high = config.mask_fraction
        chance, fraction = torch.rand(2, whole)
        targets = (chance < config.masked_share) * (low + (high - low) * fraction) * patches
        least = config.least_block or (self.grid // 3) ** 2
        return block_masks(targets, self.grid, self.grid, least, config.aspect)[local_rows(whole)].flatten(1)

    def patch_temperature(self, clock: Clock) -> float:
        config, until = self.config, self.config.temperature_warmup_fraction
        done = min(1.0, clock.fraction / until) if until else 1.0
        return config.patch_temperature + done * (config.patch_temperature_end - config.patch_temperature)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        super().after_step(outputs, clock)
        self.patch_center.lerp_(outputs[0].memory["patch_center"].to(self.patch_center), 1 - self.config.center_momentum)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (a large crop as the student sees it, as the teacher does)."""
        images, size = batch.views["first"][0][:8], self.encoder.patch_size
        hidden, patches = to_device(self.masks(len(images)), images.device).unsqueeze(2), patchify(images, size)
        seen = unpatchify(torch.where(hidden, 0.5, patches), size, *images.shape[2:])
        return {"masked_crops": torch.stack([seen, images], dim=1).flatten(0, 1)}


def by_patch(head: Any, tokens: Tensor) -> Tensor:
    """tokens (B, 1 + T, D), class token first -> logits of the patches (B, T, K)."""
    rows: Tensor = head(tokens[:, 1:].flatten(0, 1))
    return rows.unflatten(0, (len(tokens), -1))
