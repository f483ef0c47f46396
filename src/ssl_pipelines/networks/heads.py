"""Projectors and predictors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from ssl_pipelines.networks.norm import BatchNorm


def mlp(dims: Sequence[int], *, last_norm: bool, last_affine: bool = True, last_bias: bool = True) -> nn.Sequential:
    """Linear layers of `dims`, batch norm and ReLU between them.

    `last_norm` puts a batch norm on the output too, without scale and shift where `last_affine` is not; without it the last layer has
    a bias where `last_bias` is.

    A linear layer straight before a batch norm has no bias: its gradient would be zero."""
    layers: list[nn.Module] = []
    for k, (into, out) in enumerate(pairwise(dims), start=1):
        last = k == len(dims) - 1
        norm = last_norm or not last
        layers.append(nn.Linear(into, out, bias=not norm and last_bias))
        if norm:
            layers.append(BatchNorm(out, affine=last_affine or not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
