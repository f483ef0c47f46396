"""Classes of color: the a b plane in bins, the distribution over them that stands for a color, and the color that stands for a distribution."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.views.lab import rgb_to_lab

SPACING = 10  # of the bins' centers
REACH = 130  # beyond any color of sRGB, in a and in b
NUM_LIGHTNESS_BINS = 50  # of width 2


@cache
def ab_bins() -> Tensor:
    """(313, 2) centers a, b in rows of a; read only. Zhang et al. 2016, arXiv:1603.08511, section 2.1.

    The bins are the corners of all squares of a grid of spacing 10 that touch the convex hull of sRGB in the a b plane: exactly the
    bins of the authors' table. (Rounding all colors to tens gives 261 of them, without the rim.)"""
    level, edge = torch.linspace(0, 1, 33, dtype=torch.float64), (0.0, 1.0)
    sides = [
        (level, level, edge),
        (level, edge, level),
        (edge, level, level),
    ]  # the ab values of all colors lie within those of the RGB cube's surface, so sampling the surface is enough
    rgb = torch.cat([torch.cartesian_prod(*(torch.as_tensor(x, dtype=torch.float64) for x in side)) for side in sides])
    color = rgb_to_lab(rgb.T[None, :, None])[0, 1:, 0].T  # (P, 2)
    angle = torch.arange(0, 2 * torch.pi, torch.pi / 180, dtype=torch.float64)
    normal = torch.stack([angle.cos(), angle.sin()])  # (2, 360)
    bound = (color @ normal).amax(0)  # how far the hull reaches in each direction
    line = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    inside = (torch.cartesian_prod(line, line) @ normal <= bound).all(1).view(1, len(line), len(line))
    touched = F.max_pool2d(inside.float(), 2 * SPACING + 1, SPACING)[0]  # of the four squares around each crossing, any
    return touched.nonzero() * float(SPACING) - (REACH - SPACING)


def soft_codes(ab: Tensor, bins: Tensor, neighbors: int, sigma: float) -> tuple[Tensor, Tensor]:
    """ab (B, 2, h, w), bins (Q, 2) -> the K nearest bins (B, K, h, w), nearest first, and their weights (B, K, h, w) of sum 1.

    Weights fall with the distance d as exp(-d^2 / 2 sigma^2). Zhang et al. 2016, section 2.1 (H_gt^-1)."""
    points = ab.permute(0, 2, 3, 1)  # (B, h, w, 2)
    square = (points[..., :1] - bins[:, 0]).square() + (points[..., 1:] - bins[:, 1]).square()  # (B, h, w, Q)
    nearest = square.topk(neighbors, largest=False)
    weights = (nearest.values / (-2 * sigma**2)).softmax(-1)
    return nearest.indices.permute(0, 3, 1, 2), weights.permute(0, 3, 1, 2)


def annealed_mean(logits: Tensor, bins: Tensor, temperature: float) -> Tensor:
    """logits (B, Q, h, w), bins (Q, 2) -> ab (B, 2, h, w): the mean of softmax(log z / T), z the predicted distribution.

    T = 1 is the mean, which is dull; T -> 0 the mode, which jumps. Zhang et al. 2016, eq. 5."""
    share = (logits / temperature).softmax(1)  # log z is logits but for a constant
    return torch.einsum("bqhw,qc->bchw", share, bins.to(share))


def smoothed_prior(counts: Tensor, bins: Tensor, sigma: float) -> Tensor:
    """counts (Q,) of colors a bin -> (Q,) of sum 1: their shares, spread over the bins by a Gaussian. Zhang et al. 2016, section 2.2."""
    kernel = torch.exp(torch.cdist(bins, bins).square() / (-2 * sigma**2))
    return (kernel / kernel.sum(0)) @ (counts / counts.sum())


def lightness_bins(lightness: Tensor) -> Tensor:
    """L in [0, 100] -> the same shape, int64 in 0 ... 49: bins of width 2. Zhang et al. 2017, arXiv:1611.09842, section 3.2."""
    return (lightness * (NUM_LIGHTNESS_BINS / 100)).floor().long().clamp(0, NUM_LIGHTNESS_BINS - 1)
