"""The debiased contrastive loss: some of the negatives are positives, and their expected share is taken out."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.pairs import logsumexp_where, pairs
from ssl_pipelines.losses.precision import full_precision


@full_precision
def debiased(z1: Tensor, z2: Tensor, temperature: float, positive_prior: float) -> Tensor:
    """mean_i -log exp(s+) / (exp(s+) + M g),  g = max( (mean_- exp(s) - eta exp(s+)) / (1 - eta), exp(-1 / t) ).   (B, D), (B, D) -> ().

    s = cosine / t, over 2B rows; M = 2N - 2 negatives; eta = `positive_prior`, the chance that a negative is of the row's own class;
    0 gives NT-Xent. One positive, the other view. Chuang et al. 2020, arXiv:2007.00224, section 4."""
    p = pairs(z1, z2)
    log_mean = logsumexp_where(p.similarity / temperature, p.negative) - math.log(p.num_negatives)
    return corrected(p.positive_similarity / temperature, log_mean, p.num_negatives, temperature, positive_prior)


def corrected(positive: Tensor, log_mean: Tensor, num_negatives: int, temperature: float, prior: float) -> Tensor:
    """The loss above from s+ (B,) and the log of the negatives' mean exp(s) (B,), all in logarithms: no temperature overflows."""
    share = prior * (positive - log_mean).exp()  # eta exp(s+) over the mean: g is below its bound where it reaches 1
    left = share < 1
    log_g = torch.where(left, log_mean + torch.log1p(-share.masked_fill(~left, 0.0)) - math.log1p(-prior), -1 / temperature)
    log_g = log_g.clamp(min=-1 / temperature)
    return F.softplus(math.log(num_negatives) + log_g - positive).mean()
