"""Feature distillation: a fresh student predicts the whitened feature map of a finished network. Wei et al., 2022, arXiv:2205.14141.

Every token of the teacher (the class token too) is brought to mean 0 and variance 1 over its channels and predicted by a linear
layer on the student's tokens of the same view. The student has one table of relative position biases instead of absolute
positions, and drop path, which the teacher has not. What is gained is gained in fine-tuning: judge this row by the finetune stage's
score beside the teacher's. A linear probe of the student often falls below its teacher's.

Differs: with a ResNet (as student, as teacher) the cells of the last feature map take the tokens' place, and position biases and
drop path do not apply; crops of at least a fifth of the area; MAE's AdamW for short runs (5e-4 at a batch of 64, betas 0.9 and 0.95).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.whitened import whitened_smooth_l1
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.methods.teacher import single_encoder
from ssl_pipelines.networks.config import RESNETS, VITS, BackboneConfig
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


def cells(encoder: Encoder, images: Tensor, *, tokens: bool) -> Tensor:
    """(B, T, D): all tokens of a ViT after its last norm, the class token first; or the last feature map, row by row."""
    if tokens:
        assert isinstance(encoder, ViT)
        return encoder.encode_tokens(encoder.embed(images))[-1]
    return encoder.map(images).flatten(2).transpose(1, 2)


class FeatureDistillation(Method):
    class Config(MethodConfig):
        name: Literal["feature_distillation"] = "feature_distillation"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5))
        beta: float = Field(default=2.0, gt=0, le=100)
        """Error, in standard deviations of the target, up to which the smooth L1 loss is quadratic. The paper takes 2."""
        target_dim: int | None = Field(default=None, ge=1, le=65536)
        """Width of the teacher's features; null is the teacher's own, and another number is refused."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if backbone.name not in (*RESNETS, *VITS):
                found = f"backbone.name={backbone.name!r} has no shared table of relative positions, which this student has"
                raise InputError(f"{found}. Allowed: auto, {', '.join((*VITS, *RESNETS))}")

    config: Config
    upstream = ("teacher",)
    compares_within_batch = False
    recipe = Recipe(
        backbone=BackboneConfig(name="vit_mini", drop_path=0.1),
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05, clip=3.0),
        batch_size=64,
    )

    @classmethod
    def fitted(cls, config: Any, upstream: Mapping[str, nn.Module]) -> Any:
        found, _ = map_shape(single_encoder(upstream["teacher"]), int(upstream["teacher"].image_size))  # type: ignore[arg-type]
        if config.target_dim not in (None, found):
            raise InputError(
                f"methods.feature_distillation.target_dim={config.target_dim} is refused: the teacher's features have {found}"
            )
        return config.model_copy(update={"target_dim": found})

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder(positions="relative")
        self.tokens = False  # class tokens are compared too where both networks are ViTs
        width, side = map_shape(self.encoder, parts.image_size)
        self.predictor = nn.Linear(width, config.target_dim or width)
        if "teacher" in parts.upstream:
            teacher = single_encoder(parts.upstream["teacher"])
            self.tokens = isinstance(teacher, ViT) and isinstance(self.encoder, ViT)
            _, its_side = map_shape(teacher, parts.image_size)
            if side != its_side:
                raise InputError(
                    f"pretrain.upstream.teacher has a feature map of {its_side} x {its_side} cells, backbone.name gives one of {side} x {side}: "
                    "choose a backbone (or backbone.patch_size) with the teacher's grid"
                )

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        with torch.no_grad():
            target = cells(single_encoder(self.finished("teacher")), images, tokens=self.tokens)  # (B, T, D')
        prediction = self.predictor(cells(self.encoder, images, tokens=self.tokens))
        return Output(whitened_smooth_l1(prediction, target, self.config.beta))
