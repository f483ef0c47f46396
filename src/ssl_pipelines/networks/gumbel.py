"""The Gumbel-softmax relaxation: a draw of one of K that gradients pass through."""

from __future__ import annotations

import torch
from torch import Tensor


def relaxed_one_hot(logits: Tensor, uniform: Tensor, temperature: float, dim: int = 1) -> Tensor:
    """softmax((logits + g) / t) over `dim`, g = -log(-log u): near one-hot for a small t, and one-hot of a draw from softmax(logits) as t -> 0.

    `uniform`: U(0, 1) of the logits' shape. Jang et al. 2017, arXiv:1611.01144, eqs. 1 and 2; soft in both directions, as in
    Ramesh et al. 2021 (DALL-E), arXiv:2102.12092, section 2.1. Half-precision logits give float32: rounded, they tie."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    gumbel = -(-uniform.log()).log()
    return ((logits + gumbel.to(logits)) / temperature).softmax(dim)
