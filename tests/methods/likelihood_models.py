"""Likelihood models so small that all images can be counted."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ssl_pipelines.methods.base import Parts
from ssl_pipelines.methods.likelihood import LikelihoodMethod
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.networks.identity import Identity


def tiny(name: str, size: int, channels: int, seed: int = 0, **config: Any) -> LikelihoodMethod:
    """A fresh model for images of size x size pixels, in float64, with weights large enough to matter."""
    torch.manual_seed(seed)
    cls = method_class(name)
    facts = {
        "build_encoder": lambda **_: Identity(channels),
        "num_samples": 10,
        "image_size": size,
        "batch_size": 4,
        "channels": channels,
    }
    method = cls(cls.Config(**config), Parts(**facts))
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    assert isinstance(method, LikelihoodMethod)
    return method.double().eval()


def all_images(size: int, channels: int, levels: int) -> Tensor:
    """(levels ^ (channels size size), channels, size, size) in [0, 1]."""
    every = torch.tensor(list(itertools.product(range(levels), repeat=channels * size * size)))
    return every.view(-1, channels, size, size).double() / (levels - 1)


def misfit(drawn: Tensor, every: Tensor, p: Tensor) -> float:
    """Chi-square of the rows `drawn` (n, D) against probabilities p of the rows `every`, both of integers, in standard deviations from
    what chance gives: (chi2 - freedom) / sqrt(2 freedom). Rare rows are counted together."""
    base = int(max(drawn.max(), every.max())) + 1
    weights = base ** torch.arange(every.shape[1])
    counts = torch.bincount((drawn * weights).sum(1), minlength=base ** every.shape[1])[(every * weights).sum(1)].double()
    assert counts.sum() == len(drawn), "every draw is among the rows"
    expected = p.double() * len(drawn)
    rare = expected < 8
    assert not counts[expected == 0].any()
    counts, expected = (torch.cat([values[~rare], values[rare].sum().view(1)]) for values in (counts, expected))
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5)
