"""Targets that are no longer one class: label smoothing, mixup (Zhang et al. 2018, arXiv:1710.09412), cutmix (Yun et al. 2019, arXiv:1905.04899)."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.config import FinetuneRecipe


def softened(
    images: Tensor, labels: Tensor, num_classes: int, recipe: FinetuneRecipe, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """images (B, C, S, S) and labels (B,) as they are trained on: labels stay (B,) int64 where the recipe changes none, else (B, K).

    One partner an image and one weight a batch, as in both papers' code; a function of (seed, step)."""
    if not (recipe.label_smoothing or recipe.mixup or recipe.cutmix):
        return images, labels
    targets = smoothed(labels, num_classes, recipe.label_smoothing)
    if not (recipe.mixup or recipe.cutmix):
        return images, targets
    random = generator(seed, "finetune/mix", step)
    cut = bool(recipe.cutmix) and (not recipe.mixup or random.random() < 0.5)
    alpha = recipe.cutmix if cut else recipe.mixup
    kept = float(random.beta(alpha, alpha))
    partner = torch.from_numpy(random.permutation(len(images))).to(images.device)
    if cut:
        images, kept = pasted(images, partner, kept, random)
    else:
        images = kept * images + (1 - kept) * images[partner]
    return images, kept * targets + (1 - kept) * targets[partner]


def smoothed(labels: Tensor, num_classes: int, share: float) -> Tensor:
    """(B,) -> (B, K): 1 - share on the label, and share / K on every class. Szegedy et al. 2016, arXiv:1512.00567, section 7."""
    return F.one_hot(labels, num_classes).float() * (1 - share) + share / num_classes


def pasted(images: Tensor, partner: Tensor, kept: float, random: np.random.Generator) -> tuple[Tensor, float]:
    """A box of the share 1 - kept of each partner's area, anywhere, over the image: (B, C, S, S), and the share that is kept in fact.

    The box's center is uniform; what lies outside is cut off, and the share follows the area."""
    height, width = images.shape[2:]
    side = math.sqrt(1 - kept)
    ends = []
    for length in (height, width):
        center, half = int(random.integers(length)), int(length * side) // 2
        ends.append((max(0, center - half), min(length, center + half)))
    (top, bottom), (left, right) = ends
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)
