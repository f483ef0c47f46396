"""Local aggregation: of its neighborhood, an image is to be near those that clusterings call alike."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.losses.precision import full_precision

EPSILON = 1e-7  # added to the probability: without a close neighbor in the background the loss is -log of it, with no gradient


@full_precision
def local_aggregation(background: Tensor, close: Tensor, temperature: float) -> Tensor:
    """mean_b -log(P(C_b & B_b) / P(B_b) + 1e-7).   background (B, k): <v_b, m_j> for j in B_b; close (B, k) bool: is j in C_b? -> ().

    P(S) = sum_{j in S} exp(<v, m_j> / t) / Z, so Z cancels. Zhuang et al. 2019, arXiv:1903.12355, eqs. 2 and 3."""
    share = ((background / temperature).softmax(1) * close).sum(1)
    return -(share + EPSILON).log().mean()
