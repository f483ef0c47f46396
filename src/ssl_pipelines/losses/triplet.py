"""Triplets: an image's other view lies nearer than any other image, by a margin."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.pairs import pairs
from ssl_pipelines.losses.precision import full_precision

LEAST = 1e-12  # of a squared distance below a root, whose slope at 0 is infinite


@full_precision
def semi_hard_triplet(z1: Tensor, z2: Tensor, margin: float) -> Tensor:
    """mean over the violated triplets of [ |a - p|^2 - |a - n|^2 + margin ]_+, unit rows, all 2B as anchors.   (B, D), (B, D) -> ().

    n is the nearest of the negatives that are farther than the positive, those that the paper calls semi-hard once they are within
    the margin; where none is farther, it is the farthest of all. The mean over all triplets would fade as most are satisfied.
    Schroff et al. 2015, arXiv:1503.03832, sections 3.1 and 3.2."""
    positive, others, negative = _squared_distances(z1, z2)
    farther = negative & (others > positive.unsqueeze(1))
    nearest_farther = others.masked_fill(~farther, torch.inf).amin(1)
    farthest = others.masked_fill(~negative, -torch.inf).amax(1)
    hinge = (positive - torch.where(farther.any(1), nearest_farther, farthest) + margin).relu()  # (2B,)
    share = all_reduce_mean((hinge.detach() > 0).to(hinge).mean())  # of the anchors of all ranks
    return hinge.mean() / share.clamp(min=torch.finfo(share.dtype).tiny)


@full_precision
def batch_hard_triplet(z1: Tensor, z2: Tensor, margin: float, form: Literal["hinge", "softplus"] = "hinge") -> Tensor:
    """mean_a [ |a - p| - min_n |a - n| + margin ]_+, unit rows, all 2B as anchors.   (B, D), (B, D) -> ().

    With two views an image the farthest positive is the other one. The distance is not squared. `softplus`: log(1 + exp(.)) without
    a margin, in place of the hinge. Hermans et al. 2017, arXiv:1703.07737, section 2."""
    positive, others, negative = _squared_distances(z1, z2)
    nearest = others.masked_fill(~negative, torch.inf).amin(1)
    gap = positive.clamp(min=LEAST).sqrt() - nearest.clamp(min=LEAST).sqrt()  # (2B,)
    return (F.softplus(gap) if form == "softplus" else (gap + margin).relu()).mean()


def _squared_distances(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """To the other view (2B,), to all views (2B, 2N), and which of those are negatives (2B, 2N)."""
    p = pairs(z1, z2)
    if p.num_negatives == 0:
        raise ValueError("a triplet needs 2 images at least: a single one has no negatives")
    squared = 2 - 2 * p.similarity
    return squared.gather(1, p.positive.unsqueeze(1)).squeeze(1), squared, p.negative
