"""Noise-contrastive estimation against a memory bank: is this row the image's own, or noise?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision


@full_precision
def nce(positive: Tensor, negatives: Tensor, log_normalizer: Tensor, num_samples: int, temperature: float) -> Tensor:
    """mean_b -log h(s_b) - sum_m log(1 - h(s_bm)),  h(s) = P / (P + M / N),  P = exp(s / t) / Z.   (B,), (B, M), () -> ().

    The noise is uniform over N rows and M draws of it stand against each positive; log Z is given. Both logarithms are taken of
    sums, never of 1 - h, which float32 rounds to 0. Gutmann & Hyvarinen 2010; Wu et al. 2018, arXiv:1805.01978, eqs. 4 to 7."""
    log_noise = math.log(negatives.shape[1] / num_samples)
    log_p, log_q = positive / temperature - log_normalizer, negatives / temperature - log_normalizer
    # log h = -softplus(log_noise - log P), log(1 - h) = -softplus(log P - log_noise)
    return (F.softplus(log_noise - log_p) + F.softplus(log_q - log_noise).sum(1)).mean()


@torch.no_grad()
def log_normalizer(positive: Tensor, negatives: Tensor, num_samples: int, temperature: float) -> Tensor:
    """log Z, Z = N times the mean of exp(s / t) over all ranks' scores, positives included. (B,), (B, M) -> ().

    Wu et al. 2018, section 3.2: estimated once, from the first batch, and constant ever after."""
    scores = torch.cat([positive.unsqueeze(1), negatives], 1).double() / temperature
    mean: Tensor = all_reduce_mean(scores.exp().mean())
    return (num_samples * mean).log().to(positive)


def nce_of_first_normalizer(
    positive: Tensor, negatives: Tensor, log_z: Tensor, num_samples: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """-> `nce`, and the log Z that it was taken with: `log_z`, or where that is nan still, this batch's."""
    first = log_normalizer(positive, negatives, num_samples, temperature)
    log_z = torch.where(log_z.isnan(), first.to(log_z), log_z)
    return nce(positive, negatives, log_z, num_samples, temperature), log_z


def mean_normalizer(log_z: Sequence[Tensor]) -> Tensor:
    """log of the mean of Z over micro-batches, each () or (K,)."""
    return torch.stack(list(log_z)).logsumexp(0) - math.log(len(log_z))


@full_precision
def softmax_nce(positive: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """mean_b -log h(s_b) - sum_m log(1 - h(s_bm)),  h the softmax of s / t over the positive and its M negatives.   (B,), (B, M) -> ().

    No normalizer to estimate: the M negatives are the denominator. Misra & van der Maaten 2020 (PIRL), arXiv:1912.01991, eqs. 3 and 4."""
    logits = torch.cat([positive.unsqueeze(1), negatives], 1) / temperature  # (B, 1 + M)
    log_h = logits.log_softmax(1)
    # log(1 - h) of one that holds nearly all is the share of the others: 1 - h would be rounded to 0.
    top = logits.argmax(1, keepdim=True)
    others = logits.scatter(1, top, float("-inf")).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    log_rest = torch.log1p(-log_h.scatter(1, top, float("-inf")).exp()).scatter(1, top, others)
    return -(log_h[:, 0] + log_rest[:, 1:].sum(1)).mean()
