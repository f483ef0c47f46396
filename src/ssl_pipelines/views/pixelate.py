"""Lowers the resolution of patches, by shrinking and enlarging them again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_pipelines.views.engine import separable
from ssl_pipelines.views.geometry import resize_matrix

LEAST_SHARE = 10 / 96  # of the side: of 96 px patches as few as 10 x 10 px are left


def pixelation_matrices(size: int) -> Tensor:
    """(size + 1, size, size): row s shrinks `size` px to s px and enlarges them again, antialiased; rows 0 and `size` leave all as it is."""
    zero, whole = torch.zeros(1), torch.full((1,), float(size))
    matrices = [torch.eye(size)]
    for s in range(1, size):
        matrices.append((resize_matrix(zero, torch.full((1,), float(s)), s, size) @ resize_matrix(zero, whole, size, s))[0])
    return torch.stack([*matrices, torch.eye(size)])


def draw_sides(count: int, size: int, chance: float, random: torch.Generator) -> Tensor:
    """(count,) int64: with `chance` a side below `size` px, its square uniform; else `size`.

    Doersch et al. 2015, arXiv:1505.05192, section 3.1. At least 2 px are left."""
    least = max(2.0, size * LEAST_SHARE)
    uniform, hit = torch.rand(2, count, generator=random).unbind()
    shrunk = (least**2 + uniform * max(0.0, (size - 1) ** 2 - least**2)).sqrt().floor().long().clamp(min=math.ceil(least))
    return torch.where(hit < chance, shrunk.clamp(max=size), size)


def pixelated(patches: Tensor, sides: Tensor, matrices: Tensor) -> Tensor:
    """(N, C, P, P), (N,) of `draw_sides`, `pixelation_matrices(P)` -> (N, C, P, P)."""
    each = matrices[sides]  # (N, P, P)
    return separable(patches, each, each)
