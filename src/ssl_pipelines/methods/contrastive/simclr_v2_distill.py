"""SimCLR v2, last stage: a student learns from images alone what a fine-tuned network answers. Chen et al., NeurIPS 2020,
arXiv:2006.10029.

The teacher is a run that has been fine-tuned on labels: pretrain.upstream.teacher=runs:/<id>/finetuned, as the finetune stage
leaves it (finetune.labels_fraction=0.1 for a tenth of the labels; how many it saw stands in the report). The student, of the same
size or smaller, sees the same view of each image and matches the teacher's class probabilities; it reads no label itself. So this
row is self-supervised in its first stage alone.

Differs: SGD instead of LARS; no term for labeled images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.distillation import distillation
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, bicubic, one_view


class SimCLRv2Distill(Method):
    class Config(MethodConfig):
        name: Literal["simclr_v2_distill"] = "simclr_v2_distill"
        views: ViewPlan = bicubic(one_view(ViewRecipe(scale=(0.2, 1.0))))
        temperature: float = Field(default=1.0, gt=0, le=100)
        """Temperature of teacher's and student's class probabilities. Raise it to match small probabilities more."""
        num_classes: int | None = Field(default=None, ge=2, le=1_000_000)
        """Number of classes that the teacher tells apart; null is the teacher's own, and another number is refused."""

    config: Config
    upstream = ("teacher",)
    upstream_is = "classifier"
    compares_within_batch = False
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.1, weight_decay=1e-4))

    @classmethod
    def fitted(cls, config: Any, upstream: Mapping[str, nn.Module]) -> Any:
        found = upstream["teacher"].head.out_features  # type: ignore[union-attr]
        if config.num_classes not in (None, found):
            raise InputError(
                f"methods.simclr_v2_distill.num_classes={config.num_classes} is refused: the teacher tells {found} apart"
            )
        return config.model_copy(update={"num_classes": found})

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.classifier = nn.Linear(self.encoder.dim, config.num_classes or 2)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, H, W)
        with torch.no_grad():
            taught = self.finished("teacher")(images)  # (B, K)
        logits = self.classifier(self.encoder(images))
        agreement = (logits.argmax(1) == taught.argmax(1)).float().mean()
        return Output(distillation(logits, taught, self.config.temperature), {"agreement": agreement})
