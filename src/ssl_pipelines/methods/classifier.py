"""A method's network with a linear layer for classes on top: what fine-tuning trains, and what a student may learn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_pipelines.methods.base import Method


class Classifier(nn.Module):
    """What `finetune_features` uses of a method, and a linear head. (B, C, H, W) in [0, 1] -> (B, K)."""

    def __init__(self, method: Method, num_classes: int, seed: int):
        super().__init__()
        self.method = method
        probe = torch.zeros(2, method.in_channels, method.image_size, method.image_size)
        features = method.eval().finetune_features(probe)
        if not features.requires_grad:  # a teacher: never trained by gradients so far
            method.requires_grad_(True)
            features = method.finetune_features(probe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(features.shape[1], num_classes)
        keep_reached(method, features)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.method.finetune_features(images))
        return out


def keep_reached(method: Method, features: Tensor) -> None:
    """Freezes every parameter on which `features` do not depend: projectors, decoders, predictors."""
    params = [p for p in method.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(features.sum(), params, allow_unused=True)
    for param, gradient in zip(params, gradients, strict=True):
        param.requires_grad_(gradient is not None)
