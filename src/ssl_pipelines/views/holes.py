"""Holes in images for inpainting: one function a scheme. All give (B, 1, S, S) with 1 inside the hole, from uniform noise of any device.

Pathak et al. 2016 (context encoders), arXiv:1604.07379, section 3.3."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST, LARGEST = 1 / 8, 1 / 4  # of the side: four blocks of at most a quarter of it cover at most a quarter of the area
BLOCKS = 4
CELLS = 8  # places of the low-frequency noise along a side: about one every 16 px of 128 in the authors' code


def center_hole(size: int, side: int) -> Tensor:
    """A square of `side` px in the middle; (1, 1, S, S)."""
    hole = torch.zeros(1, 1, size, size)
    first = (size - side) // 2
    hole[:, :, first : first + side, first : first + side] = 1
    return hole


def block_holes(noise: Tensor, size: int) -> Tensor:
    """noise (B, 4, 3) -> squares of an eighth to a quarter of the side at random places; they may overlap, at most a quarter of the area."""
    low, high = max(1, round(SMALLEST * size)), max(1, int(LARGEST * size))
    sides = low + (noise[..., 0] * (high - low + 1)).long().clamp(max=high - low)  # (B, 4)
    firsts = (noise[..., 1:] * (size - sides + 1).unsqueeze(2)).long()  # (B, 4, 2): top, left
    step = torch.arange(size, device=noise.device)
    inside = (step >= firsts.unsqueeze(3)) & (step < (firsts + sides.unsqueeze(2)).unsqueeze(3))  # (B, 4, 2, S)
    return (inside[:, :, 0, :, None] & inside[:, :, 1, None, :]).any(1, keepdim=True).to(noise.dtype)


def region_holes(noise: Tensor, size: int, share: float) -> Tensor:
    """noise (B, 8, 8) -> regions of any shape: where low-frequency noise is lowest, exactly round(share S^2) px of each image."""
    field = F.interpolate(noise.unsqueeze(1), size=(size, size), mode="bicubic", align_corners=False).flatten(1)  # (B, S S)
    count = max(1, round(share * size * size))
    lowest = field.argsort(dim=1, stable=True)[:, :count]
    return torch.zeros_like(field).scatter_(1, lowest, 1.0).view(-1, 1, size, size)


def rim(hole: Tensor, width: int) -> Tensor:
    """(B, 1, S, S) -> 1 on the pixels outside of the hole that are at most `width` px from it, along rows, columns and diagonals."""
    wider = F.max_pool2d(hole, 2 * width + 1, stride=1, padding=width)
    return wider - hole
