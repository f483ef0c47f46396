"""Histograms of oriented gradients, as targets of masked prediction."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-4  # shortest histogram that is scaled to length 1: rounding leaves 1e-7 in a flat cell, which stays small


def hog(images: Tensor, cell: int, bins: int = 9) -> Tensor:
    """(B, C, H, W) -> (B, T, C * bins), T cells of cell x cell px, row-major: for each channel the magnitudes of a cell's gradients by
    orientation, unsigned, of length 1; 0 where a cell is flat, up to the rounding of images about 1 in size.

    Sobel's gradients with mirrored edges; a pixel counts for the one bin of its orientation, not for two. Dalal & Triggs 2005 in the form of
    Wang et al. 2023, arXiv:2303.05251 (their code): the orientation is that of (horizontal, vertical), bin 0 begins at vertical gradients."""
    x = F.pad(images, (1, 1, 1, 1), mode="reflect")
    left, right, top, bottom = x[..., :-2], x[..., 2:], x[..., :-2, :], x[..., 2:, :]
    across = (left - right)[..., :-2, :] + 2 * (left - right)[..., 1:-1, :] + (left - right)[..., 2:, :]
    down = (top - bottom)[..., :-2] + 2 * (top - bottom)[..., 1:-1] + (top - bottom)[..., 2:]
    magnitude = torch.hypot(across, down).unsqueeze(2)  # (B, C, 1, H, W)
    chosen = (torch.atan2(across, down) / math.pi * bins).floor().long().remainder(bins).unsqueeze(2)
    votes = torch.zeros_like(magnitude).repeat(1, 1, bins, 1, 1).scatter_(2, chosen, magnitude)  # (B, C, bins, H, W)
    cells = F.avg_pool2d(votes.flatten(1, 2), cell).unflatten(1, (-1, bins))  # (B, C, bins, h, w)
    return F.normalize(cells, dim=2, eps=LEAST).flatten(1, 2).flatten(2).transpose(1, 2)


def glyphs(histograms: Tensor, side: int, size: int, bins: int = 9) -> Tensor:
    """(B, side^2, C * bins) -> (B, 1, side * size, side * size) in [0, 1]: a star a cell, whose rays lie along the edges it holds."""
    angle = (torch.arange(bins, device=histograms.device) + 0.5) * math.pi / bins  # of the gradient, from the vertical
    place = torch.arange(size, device=histograms.device) - (size - 1) / 2
    y, x = place.view(-1, 1), place.view(1, -1)
    distance = (x * angle.sin().view(-1, 1, 1) + y * angle.cos().view(-1, 1, 1)).abs()  # px from the ray, (bins, size, size)
    rays = (1 - distance).clamp(min=0).to(histograms)
    weight = histograms.unflatten(2, (-1, bins)).mean(2).clamp(min=0)  # (B, T, bins)
    stars = torch.einsum("btk,kyx->btyx", weight, rays).unflatten(1, (side, side))  # (B, side, side, size, size)
    return stars.transpose(2, 3).flatten(3).flatten(1, 2).unsqueeze(1).clamp(max=1)
