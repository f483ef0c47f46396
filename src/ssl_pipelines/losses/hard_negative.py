"""The hard negative loss: a negative counts the more, the nearer it is, on top of the debiased loss."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.losses.debiased import corrected
from ssl_pipelines.losses.pairs import logsumexp_where, pairs
from ssl_pipelines.losses.precision import full_precision


@full_precision
def hard_negative(z1: Tensor, z2: Tensor, temperature: float, positive_prior: float, beta: float) -> Tensor:
    """The debiased loss with mean_- w exp(s) for mean_- exp(s), w_j = exp(beta s_j) / mean_k exp(beta s_k).   (B, D), (B, D) -> ().

    s = cosine / t over the negatives j, k; gradients enter the weights. beta is an exponent, as in the text's q_beta and the authors'
    code; as the factor that the printed pseudocode has, 0 would erase all negatives where it gives the debiased loss here.
    Robinson et al. 2021, arXiv:2010.04592, section 3."""
    p = pairs(z1, z2)
    s, negative = p.similarity / temperature, p.negative
    log_mean = logsumexp_where((1 + beta) * s, negative) - logsumexp_where(beta * s, negative)
    return corrected(p.positive_similarity / temperature, log_mean, p.num_negatives, temperature, positive_prior)
