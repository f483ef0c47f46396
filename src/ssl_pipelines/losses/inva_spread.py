"""Invariant and spreading: an image's augmented view is taken for the image, and no other image is taken for it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank
from ssl_pipelines.losses.pairs import logsumexp_where, pairs
from ssl_pipelines.losses.precision import full_precision


@full_precision
def inva_spread(plain: Tensor, augmented: Tensor, temperature: float) -> Tensor:
    """mean_i [ -log P(i|x^_i) - sum_{j != i} log(1 - P(i|x_j)) ],   (B, D), (B, D) -> ().

    P(i|x^_i) = exp(f_i f^_i / t) / sum_k exp(f_k f^_i / t), P(i|x_j) = exp(f_i f_j / t) / sum_k exp(f_k f_j / t); f are the unit rows of
    plain images, f^ of augmented ones, k goes over the images of all ranks, in the second sum j itself included.
    Ye et al. 2019, arXiv:1904.03436, section 3.2, divided by the batch. log(1 - P) is taken as a difference of two logarithms of
    sums, since 1 - P rounds to 0."""
    f, f_aug = F.normalize(plain, dim=1), F.normalize(augmented, dim=1)
    keys = gather_rows(f)  # (N, D)
    row = torch.arange(len(f), device=f.device) + rank() * len(f)
    invariant = F.cross_entropy(f_aug @ keys.T / temperature, row)
    own = F.one_hot(row, len(keys)).bool()  # (B, N)
    return invariant - _log_not(f @ keys.T / temperature, ~own).sum(1).mean()


@full_precision
def inva_spread_released(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """What the authors' code minimizes: two augmented views, all 2B rows asked in turn.   (B, D), (B, D) -> ().

    mean_a [ -log P(a'|a) - sum_{k != a, a'} log(1 - P(k|a)) ], a' the other view of a, P a softmax over all rows but a itself; no
    gradient enters the rows that are asked about."""
    p = pairs(z1, z2, detach_keys=True)
    logits = (p.similarity / temperature).scatter(1, p.own.unsqueeze(1), float("-inf"))
    return F.cross_entropy(logits, p.positive) - _log_not(logits, p.negative).sum(1).mean()


def _log_not(logits: Tensor, mask: Tensor) -> Tensor:
    """log(1 - softmax(logits)_j), 0 where the mask is not.   (B, M), (B, M) bool -> (B, M).

    1 - P_j = (Z - e_j) / Z. Where e_j is most of Z, the sum without it is taken anew; at most one j of a row is."""
    largest = F.one_hot(logits.argmax(1), logits.shape[1]).bool() & mask
    rest = logsumexp_where(logits, ~largest) - logits.logsumexp(1)  # (B,)
    exact = torch.log1p(-logits.softmax(1).masked_fill(largest | ~mask, 0.0))
    return torch.where(largest, rest.unsqueeze(1), exact)
