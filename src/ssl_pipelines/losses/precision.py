"""Losses are computed outside of autocast: half precision is too coarse for a softmax over thousands of similarities."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)
P = ParamSpec("P")
R = TypeVar("R")


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """`loss` with its half-precision tensors in float32, and products in it that autocast leaves alone. float64 stays float64."""

    @wraps(loss)
    def full(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            return loss(*map(_raised, args), **{key: _raised(value) for key, value in kwargs.items()})  # type: ignore[arg-type]

    return full


def _raised(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
