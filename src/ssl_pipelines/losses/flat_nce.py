"""FlatNCE: a contrastive loss whose gradient does not fade with small batches, and whose value is always 1."""

from __future__ import annotations

from torch import Tensor

from ssl_pipelines.losses.pairs import logsumexp_where, pairs
from ssl_pipelines.losses.precision import full_precision


@full_precision
def flat_nce(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """mean_i exp(v_i - sg(v_i)),  v_i = log sum_- exp((s_j - s+) / t).   (B, D), (B, D) -> (), always 1: log NT-Xent beside it.

    The gradient is that of mean v: NT-Xent's of each row, divided by 1 - p of its positive, which float32 loses where p rounds to 1.
    Chen et al. 2021, arXiv:2107.01152, section 3. Raises ValueError for a single image, which has no negatives."""
    p = pairs(z1, z2)
    if p.num_negatives == 0:
        raise ValueError("flat_nce needs 2 images at least: a single one has no negatives")
    v = logsumexp_where((p.similarity - p.positive_similarity.unsqueeze(1)) / temperature, p.negative)
    return (v - v.detach()).exp().mean()
