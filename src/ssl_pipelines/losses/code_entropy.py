"""How far distributions over codes are from uniform, and how many codes are in use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_pipelines.distributed import all_reduce_mean
from ssl_pipelines.losses.precision import full_precision


@full_precision
def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(softmax(logits) || uniform over K) over axis 1, in nats: log K for one code alone, 0 for all alike.   (B, K, ...) -> (B, ...)."""
    log_q = logits.log_softmax(1)
    return (log_q.exp() * log_q).sum(1) + math.log(logits.shape[1])


@torch.no_grad()
def codes_in_use(codes: Tensor, count: int) -> Tensor:
    """exp of the entropy of how often each of `count` codes is taken, over all ranks: from 1 to `count`.   codes (...) int64 -> ()."""
    taken = torch.zeros(count, device=codes.device).index_add_(0, codes.flatten(), torch.ones(codes.numel(), device=codes.device))
    p: Tensor = all_reduce_mean(taken / codes.numel())
    return (-(p * p.clamp(min=1e-30).log()).sum()).exp()
