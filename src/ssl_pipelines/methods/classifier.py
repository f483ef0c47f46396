"""A method's network with a linear layer for classes on top: what fine-tuning trains, and what a student may learn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.methods.base import Method


class Classifier(nn.Module):
    """What `finetune_features`, or one of its stages, uses of a method, and a linear head. (B, C, H, W) in [0, 1] -> (B, K).

    Raises InputError for a stage that the method has not."""

    def __init__(self, method: Method, num_classes: int, seed: int, stage: str | None = None):
        super().__init__()
        self.method, self.stage = method.eval(), stage
        probe = torch.zeros(2, method.in_channels, method.image_size, method.image_size)
        if stage is not None and stage not in (stages := method.stages(probe)):
            raise unknown("finetune.stage", stage, stages)
        features = self._features(probe)
        if not features.requires_grad:  # what is evaluated follows by momentum, and no gradient has trained it so far
            method.requires_grad_(True)
            features = self._features(probe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(features.shape[1], num_classes)
        keep_reached(method, features)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self._features(images))
        return out

    def _features(self, images: Tensor) -> Tensor:
        return self.method.finetune_features(images) if self.stage is None else self.method.stages(images)[self.stage]


def keep_reached(method: Method, features: Tensor) -> None:
    """Freezes every parameter on which `features` do not depend: projectors, decoders, predictors."""
    params = [p for p in method.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(features.sum(), params, allow_unused=True)
    for param, gradient in zip(params, gradients, strict=True):
        param.requires_grad_(gradient is not None)
