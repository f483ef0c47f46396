"""Pixel-level losses on the places of two overlapping crops."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision


def matching_places(first: Tensor, second: Tensor, side: int, threshold: float) -> Tensor:
    """Boxes (B, 5) of two crops: top, left, height, width in px of the image, mirrored -> (B, T, T) bool, T = side^2 places, row-major.

    Two places match where their centers in the image are nearer than `threshold` times the larger diagonal of the two crops' places.
    Xie et al. 2021 (PixPro), arXiv:2011.10043, eq. 1."""
    (y1, x1, d1), (y2, x2, d2) = _centers(first, side), _centers(second, side)
    distance = torch.hypot(y1.unsqueeze(2) - y2.unsqueeze(1), x1.unsqueeze(2) - x2.unsqueeze(1))  # (B, T, T)
    return distance < threshold * torch.maximum(d1, d2).view(-1, 1, 1)


def _centers(box: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """-> y (B, T), x (B, T) and the diagonal of a place (B,), px of the image."""
    top, left, height, width, mirrored = (value.unsqueeze(1) for value in box.unbind(1))  # (B, 1)
    step = (torch.arange(side, device=box.device, dtype=box.dtype) + 0.5) / side
    y = top + step * height  # (B, side)
    x = left + torch.where(mirrored > 0, 1 - step, step) * width
    diagonal = torch.hypot(height, width).squeeze(1) / side
    return y.repeat_interleave(side, 1), x.repeat(1, side), diagonal


def mean_over_images(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of (B,) over the images of all ranks that count, (B,) bool; 0 where none does."""
    weight = counts.to(values)
    share = all_reduce_mean(weight.mean())
    return (values * weight).mean() / torch.where(share > 0, share, 1)


@full_precision
def pixel_contrast(queries: Tensor, keys: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """-log of the share of exp(cos / t) that the positives of a place have among all places of the other crop of the same image.

    (B, D, T), (B, D, T), (B, T, T) -> (): mean over the places with a positive, then over the images with such places.
    Xie et al. 2021, arXiv:2011.10043, eq. 2, one direction."""
    cosine = torch.einsum("bdi,bdj->bij", F.normalize(queries, dim=1), F.normalize(keys, dim=1)) / temperature
    some = positives.any(2)  # (B, T)
    chosen = cosine.masked_fill(~positives, -torch.inf)
    chosen = torch.where(some.unsqueeze(2), chosen, cosine)  # no gradient of an empty sum; weighted 0 below
    losses = (cosine.logsumexp(2) - chosen.logsumexp(2)) * some  # (B, T)
    return mean_over_images(losses.sum(1) / some.sum(1).clamp(min=1), some.any(1))


@full_precision
def propagated(features: Tensor, transformed: Tensor, sharpness: float) -> Tensor:
    """y_i = sum_j max(cos(x_i, x_j), 0)^sharpness g(x_j), places of one crop: x (B, D, T), g(x) (B, D, T) -> (B, D, T).

    Xie et al. 2021, arXiv:2011.10043, eqs. 3 and 4 (pixel propagation); g(x) of unit length, as in the authors' code."""
    unit = F.normalize(features, dim=1)
    weight = torch.einsum("bdi,bdj->bij", unit, unit).clamp(min=0) ** sharpness  # (B, T, T)
    return torch.einsum("bij,bdj->bdi", weight, F.normalize(transformed, dim=1))


@full_precision
def pixel_agreement(queries: Tensor, keys: Tensor, positives: Tensor) -> Tensor:
    """-mean cos(q_i, k_j) over the positive pairs of an image, then over the images that have some.   shapes as above -> ().

    Xie et al. 2021, arXiv:2011.10043, eq. 5, one direction."""
    cosine = torch.einsum("bdi,bdj->bij", F.normalize(queries, dim=1), F.normalize(keys, dim=1))
    count = positives.sum((1, 2))  # (B,)
    return mean_over_images(-(cosine * positives).sum((1, 2)) / count.clamp(min=1), count > 0)
