"""Transforms that hide chromatic aberration: a lens shifts colors against each other, more so far from its axis, which would tell
where a patch lay."""

from __future__ import annotations

import torch
from torch import Tensor

GREEN_MAGENTA = (-1.0, 2.0, -1.0)  # a: the axis along which most lenses err


def keep_one_channel(patches: Tensor, kept: Tensor, noise: Tensor) -> Tensor:
    """(B, T, C, P, P), channel kept (B, T), noise (B, T, C, P, P) -> that channel of each patch, the noise in all others.

    Doersch et al. 2015, arXiv:1505.05192, section 3.1, color dropping."""
    channel = torch.arange(patches.shape[2], device=patches.device)
    here = (kept.unsqueeze(2) == channel).unsqueeze(3).unsqueeze(4)  # (B, T, C, 1, 1)
    return torch.where(here, patches, noise.to(patches))


def without_green_magenta(images: Tensor) -> Tensor:
    """(..., 3, H, W) -> P images with P = I - a a^T / (a^T a). Doersch et al. 2015, arXiv:1505.05192, section 3.1, projection."""
    a = images.new_tensor(GREEN_MAGENTA)
    projection = torch.eye(3).to(images) - torch.outer(a, a) / (a @ a)
    return torch.einsum("ij,...jhw->...ihw", projection, images)


def shift_channels(patches: Tensor, shifts: Tensor) -> Tensor:
    """(B, T, C, P, P) moved by (B, T, C, 2) whole px down and right, each channel for itself; the edge's pixels are repeated.

    What comes in at the edge is the patch's own, so that a patch at the image's border looks like any other.
    Noroozi & Favaro 2016, arXiv:1603.09246."""
    side = patches.shape[-1]
    source = (torch.arange(side, device=patches.device) - shifts.unsqueeze(4)).clamp(0, side - 1)  # (B, T, C, 2, P)
    rows, columns = source[..., 0, :, None], source[..., 1, None, :]
    moved = patches.gather(3, rows.expand(-1, -1, -1, -1, side))
    return moved.gather(4, columns.expand(-1, -1, -1, side, -1))
