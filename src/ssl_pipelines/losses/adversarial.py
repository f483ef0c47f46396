"""The two sides of a generative adversarial game, on logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.losses.precision import full_precision


@full_precision
def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-(mean log D(x) + mean log(1 - D(G))) / 2, D = sigmoid(logit).   (B, 1), (B, 1) -> (); log 2 where the critic cannot tell.

    Goodfellow et al. 2014, arXiv:1406.2661, eq. 1."""
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


@full_precision
def fooling_loss(fake: Tensor) -> Tensor:
    """-mean log D(G): the generator's side in the form that keeps its gradient where the critic is sure (section 3 there)."""
    return F.softplus(-fake).mean()
