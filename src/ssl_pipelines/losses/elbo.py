"""The terms of the evidence lower bound: log likelihoods of values, and the divergence of a Gaussian from the standard one. All in nats."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


@full_precision
def gaussian_nll(mean: Tensor, target: Tensor, log_variance: Tensor) -> Tensor:
    """-log N(x; m, v) = (log 2 pi + log v + (x - m)^2 / v) / 2, value by value.   `log_variance` is broadcast; the shape of `target`.

    With v fixed this is a squared error of weight 1 / (2 v): a mean over pixels in its place is a hidden beta. Kingma & Welling 2014,
    arXiv:1312.6114, appendix C.2."""
    return 0.5 * (math.log(2 * math.pi) + log_variance + (target - mean).square() * (-log_variance).exp())


@full_precision
def bernoulli_nll(logits: Tensor, target: Tensor) -> Tensor:
    """-x log p - (1 - x) log(1 - p), p = sigmoid(logits), value by value; x in [0, 1], a likelihood where x is 0 or 1 alone.

    Kingma & Welling 2014, arXiv:1312.6114, appendix C.1."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


@full_precision
def standard_normal_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, 1)) = -(1 + log s^2 - m^2 - s^2) / 2 of each latent.   (B, Z), (B, Z) -> (B, Z) >= 0.

    Kingma & Welling 2014, arXiv:1312.6114, appendix B."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
