"""DINO: a student that sees small and large crops follows a momentum teacher that sees the large ones, over prototypes without labels.
Caron et al., ICCV 2021, arXiv:2104.14294.

The teacher's encoder is what is evaluated. Differs: 1024 prototypes, a head of 512 units and two small crops (8) of 24 px beside 32 (96
beside 224 in both), crops of 0.4 to 1 and of 0.1 to 0.4 of an image (0.25 to 1, 0.05 to 0.25), suit small images; no blur, no drop
path; the teacher's momentum begins at 0.98, for a run of hundreds of steps would never leave its start at 0.996; the student's
prototypes are frozen for the first epoch, and a run of fewer than `min_epochs` passes over the data is cut into that many epochs. The
teacher's temperature stays at 0.04, as in the authors' code (0.04 to 0.07 in the paper's runs), and the head has batch norms: without
either, the outputs of a short run stay uniform. The norms of the last layer stay 1 (`norm_last_layer`). Four times the learning rate for
a short run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.dino import batch_center, dino, teacher_probabilities
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import OptimizerConfig, Recipe
from ssl_pipelines.methods.multi_crop import MultiCropConfig, multi_crop
from ssl_pipelines.networks.config import VITS, BackboneConfig
from ssl_pipelines.networks.dino_head import DINOHead
from ssl_pipelines.networks.momentum import cosine_momentum, follow, frozen_copy
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import BYOL_FIRST, BYOL_SECOND, ViewPlan, bicubic

LARGE = {"scale": (0.4, 1.0)}


class DINO(Method):
    class Config(MultiCropConfig):
        name: Literal["dino"] = "dino"
        views: ViewPlan = bicubic(
            multi_crop(BYOL_FIRST.model_copy(update=LARGE), BYOL_SECOND.model_copy(update=LARGE), local=(0.1, 0.4), count=2)
        )
        num_prototypes: int = Field(default=1024, ge=2, le=100_000)
        """Number of prototypes, over which student and teacher agree. The paper takes 65,536 for ImageNet."""
        hidden_dim: int = Field(default=512, ge=2, le=8192)
        """Width of the hidden layers of the head. The paper takes 2048."""
        bottleneck_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the head before its prototypes. The paper takes 256."""
        head_norm: bool = True
        """Whether the head has batch norms. Without them the outputs of a short run stay uniform; the paper has none with ViTs."""
        student_temperature: float = Field(default=0.1, gt=0, le=10)
        """Temperature of the student's distribution. The paper takes 0.1."""
        teacher_temperature: float = Field(default=0.04, gt=0, le=10)
        """Temperature of the teacher's distribution at first, at most `student_temperature`. Lower is sharper; the paper begins at
        0.04."""
        teacher_temperature_end: float = Field(default=0.04, gt=0, le=10)
        """Temperature of the teacher's distribution after its warm-up. Raise it, to the paper's 0.07, for long runs."""
        temperature_warmup_fraction: float = Field(default=0.3, ge=0, le=1)
        """Share of the run over which the teacher's temperature goes linearly from its start to its end."""
        center_momentum: float = Field(default=0.9, ge=0, lt=1)
        """Share of the center of the teacher's outputs that is kept at each step. The paper takes 0.9."""
        teacher_momentum: float = Field(default=0.98, ge=0, le=1)
        """Share of the teacher's weights that is kept at each step at first; it rises to 1 by a cosine. Raise it, to the paper's
        0.996, for long runs."""
        frozen_epochs: int = Field(default=1, ge=0)
        """Number of epochs for which the student's prototypes stay as they were drawn. Raise it where the loss does not fall at
        first."""
        min_epochs: int = Field(default=20, ge=1, le=10_000)
        """Number of epochs that a run of fewer passes over the data is cut into, so that `frozen_epochs` is a part of it."""
        pooling: Literal["cls", "average"] = "cls"
        """What a ViT's representation is: its class token (`cls`), or the mean of its patch tokens."""

        @model_validator(mode="after")
        def _the_teacher_is_sharper(self) -> Self:
            for key in ("teacher_temperature", "teacher_temperature_end"):
                if getattr(self, key) > self.student_temperature:
                    allowed = f"allowed is up to student_temperature={self.student_temperature}"
                    raise ValueError(f"{key}={getattr(self, key)} would not sharpen: {allowed}")
            warmup, plain = self.temperature_warmup_fraction, type(self).model_fields["temperature_warmup_fraction"].default
            if warmup != plain and self.teacher_temperature == self.teacher_temperature_end:
                found = f"temperature_warmup_fraction={warmup} would be ignored"
                raise ValueError(f"{found}: the teacher's temperature stays at {self.teacher_temperature}")
            return self

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if self.pooling != type(self).model_fields["pooling"].default and backbone.name not in VITS:
                found = f"methods.dino.pooling={self.pooling!r} is read by {', '.join(VITS)}"
                raise InputError(f"{found}; with backbone.name={backbone.name!r} it would be ignored")

    config: Config
    center: Tensor
    encoders = ("teacher",)
    recipe = Recipe(
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.04, weight_decay_end=0.4, clip=3.0, clip_per="tensor"),
        batch_size=128,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.min_epochs = config.min_epochs
        self.encoder, self.teacher = parts.build_encoder(), parts.build_encoder(drop_path=0.0)
        self.encoder.check_sizes(group.size for group in config.views.groups.values())
        for encoder in (self.encoder, self.teacher):
            if isinstance(encoder, ViT):
                encoder.pooling = config.pooling
        self.head = DINOHead(
            self.encoder.dim, config.hidden_dim, config.bottleneck_dim, config.num_prototypes, norm=config.head_norm
        )
        self.teacher.load_state_dict(self.encoder.state_dict())
        self.teacher.requires_grad_(False)
        self.teacher_head = frozen_copy(self.head)
        self.register_buffer("center", torch.zeros(config.num_prototypes))

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.teacher(images)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        student = torch.stack([self.head(self.encoder(x)) for x in batch.crops("first", "second", "local")])  # (V, B, K)
        with torch.no_grad():
            teacher = torch.stack([self.teacher_head(self.teacher(x)) for x in batch.crops("first", "second")])  # (2, B, K)
        temperature = self.teacher_temperature(clock)
        p = teacher_probabilities(teacher, self.center, temperature)
        metrics = {"teacher_entropy": entropy(p).mean(), "used_entropy": entropy(all_reduce_mean(p.mean((0, 1))))}
        loss = dino(student, teacher, self.center, self.config.student_temperature, temperature)
        return Output(loss, metrics, {"center": batch_center(teacher)})

    def teacher_temperature(self, clock: Clock) -> float:
        config = self.config
        done = min(1.0, clock.fraction / config.temperature_warmup_fraction) if config.temperature_warmup_fraction else 1.0
        return config.teacher_temperature + done * (config.teacher_temperature_end - config.teacher_temperature)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        follow(self.followers(), cosine_momentum(self.config.teacher_momentum, clock.fraction))
        self.center.lerp_(outputs[0].memory["center"].to(self.center), 1 - self.config.center_momentum)

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.teacher, self.encoder), (self.teacher_head, self.head)]

    def param_groups(self) -> list[ParamGroup]:
        return [ParamGroup(self.head.last, frozen_epochs=self.config.frozen_epochs)]


def entropy(p: Tensor) -> Tensor:
    """(..., K) -> (...) in nats. It is 0 where one prototype takes all and log K where all are equal, which both are collapse."""
    return -(p * p.clamp(min=1e-30).log()).sum(-1)
