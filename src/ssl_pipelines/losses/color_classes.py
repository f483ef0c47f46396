"""Colorization's loss: cross entropy over bins of color in which rare colors count more."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision


def rebalancing_weights(prior: Tensor, mix: float) -> Tensor:
    """w_q = c ((1 - mix) p_q + mix / Q)^-1 with sum_q p_q w_q = 1.   prior (Q,) of sum 1 -> (Q,).

    mix = 1: all 1. Zhang et al. 2016, arXiv:1603.08511, eq. 4."""
    weights = 1 / ((1 - mix) * prior + mix / len(prior))
    return weights / (prior * weights).sum()


@full_precision
def color_loss(logits: Tensor, bins: Tensor, codes: Tensor, weights: Tensor, counted: Tensor) -> Tensor:
    """-v sum_k codes_k log softmax(logits)_bins_k, v = weights[bins_0]; mean over places and over the images that are `counted`.

    logits (B, Q, h, w); bins, codes (B, K, h, w), nearest first; weights (Q,); counted (B,) bool -> (); 0 where none counts.
    Zhang et al. 2016, eq. 2 and 3. The number of counted images is that of the global batch; with
    gradient accumulation, of each micro-batch, so an image weighs more in one where few are counted."""
    entropy = -(codes * logits.log_softmax(1).gather(1, bins)).sum(1)  # (B, h, w)
    each = (weights[bins[:, 0]] * entropy).mean((1, 2))  # (B,)
    share = all_reduce_mean(counted.to(each).mean())
    return (each * counted).mean() / share.clamp(min=1e-9)
