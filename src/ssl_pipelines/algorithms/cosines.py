"""How near two images' features are, by the angle between them: between versions of one image, and between different ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """cos(a_i, b_i).   (n, D), (n, D) -> (n,) float64; a zero row counts 0."""
    return (F.normalize(a.double(), dim=1) * F.normalize(b.double(), dim=1)).sum(1)


def cosine_matrix(x: Tensor) -> Tensor:
    """cos(x_i, x_j).   (n, D) -> (n, n) float64."""
    unit = F.normalize(x.double(), dim=1)
    return unit @ unit.T


def squared_distance(cosines: Tensor) -> Tensor:
    """|u - v|^2 = 2 - 2 cos(u, v) of unit vectors."""
    return (2 - 2 * cosines).clamp(min=0)


def gaussian_potential(cosines: Tensor, t: float = 2.0) -> Tensor:
    """exp(-t |u - v|^2): the logarithm of its mean over pairs is the uniformity of Wang & Isola 2020, arXiv:2005.10242, section 4.1."""
    return torch.exp(-t * squared_distance(cosines))
