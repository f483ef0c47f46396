"""Patches brought to one brightness and contrast, so that neither tells where in the picture they lay."""

from __future__ import annotations

from torch import Tensor

LEAST = 1e-4  # smallest contrast that is scaled up: below it a patch holds nothing but rounding and stays flat


def centered(patches: Tensor) -> Tensor:
    """(..., P, P) minus its mean, each channel of each patch for itself."""
    return patches - patches.mean((-2, -1), keepdim=True)


def standardized(patches: Tensor) -> Tensor:
    """(..., P, P) with mean 0 and standard deviation 1, each channel of each patch for itself."""
    x = centered(patches)
    return x / x.square().mean((-2, -1), keepdim=True).sqrt().clamp(min=LEAST)


def unit_rms(patches: Tensor) -> Tensor:
    """(..., C, P, P) over the root of its mean square, all channels of a patch together."""
    return patches / patches.square().mean((-3, -2, -1), keepdim=True).sqrt().clamp(min=LEAST)
