"""Corruptions of images that a network is to restore. Images in [0, 1], noise of a global draw -> (corrupted images, where they
were hit).

Vincent et al. 2008 (masking) and JMLR 11, 2010 (Gaussian, salt and pepper): each value is hit independently."""

from __future__ import annotations

import torch
from torch import Tensor


def masked(images: Tensor, noise: Tensor, fraction: float, value: Tensor) -> tuple[Tensor, Tensor]:
    """A value becomes `value` (broadcast) with probability `fraction`.   noise uniform, (B, C, H, W) or (B, 1, H, W) -> all channels of a pixel."""
    hit = (noise < fraction).expand_as(images)
    return torch.where(hit, value.to(images), images), hit


def salt_and_pepper(images: Tensor, noise: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """A value becomes 0 or 1, by a fair coin, with probability `fraction`.   noise uniform, as above."""
    hit, salt = (noise < fraction).expand_as(images), (noise < fraction / 2).expand_as(images)
    return torch.where(hit, salt.to(images.dtype), images), hit


def gaussian(images: Tensor, noise: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """x + s n, not clipped: every value is hit.   noise N(0, 1), (B, C, H, W); std (C, 1, 1)."""
    return images + std.to(images) * noise.to(images), torch.ones_like(images, dtype=torch.bool)
