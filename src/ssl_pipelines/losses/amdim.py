"""AMDIM's noise-contrastive bound: one view's feature against all places of the other view of its image, and of other images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_pipelines.losses.mutual_information import mutual_information_loss, place_scores
from ssl_pipelines.losses.precision import full_precision


def soft_clip(scores: Tensor, bound: float) -> Tensor:
    """bound tanh(s / bound): the identity for small scores, within +-bound for all."""
    return bound * torch.tanh(scores / bound)


@full_precision
def amdim_loss(source: Tensor, places: Tensor, clip: float, penalty: float) -> Tensor:
    """(B, R), (B, R, K) -> (): InfoNCE of clipped scores plus `penalty` times the mean square of the raw ones.

    s = <source, place> / sqrt(R), not normalized. For image i and place k: the positive against all places of all other images, of
    all ranks; its own other places are on neither side. Bachman et al. 2019, arXiv:1906.00910, eqs. 3 to 5; penalty and clip are of
    its part on efficient NCE."""
    positive, negative = place_scores(source / math.sqrt(source.shape[1]), places)
    nce = mutual_information_loss(soft_clip(positive, clip), soft_clip(negative, clip), "info_nce")
    scores = positive.numel() + negative.numel()
    return nce + penalty * (positive.square().sum() + negative.square().sum()) / scores
