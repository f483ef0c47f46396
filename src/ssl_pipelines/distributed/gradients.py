"""Gradients averaged over ranks, in flat buckets that travel while the backward pass still runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssl_pipelines.distributed.group import world_size

BUCKET_BYTES = 25 << 20  # as in DistributedDataParallel: large enough to use the bandwidth, small enough to start early


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages the gradients that are there. A parameter without one here has none on any rank."""
    if world_size() > 1:
        _land([_launch(bucket) for bucket in _buckets(list(parameters))])


class AveragedBackward:
    """`backward(loss)`, after which the gradients of `parameters` are their mean over ranks.

    The last layers' gradients come first, so buckets are filled from the last parameter to the first, and each leaves when its last
    gradient is there, in one order on all ranks. No wrapper around the method is needed, which a generator of losses would not
    survive: DistributedDataParallel leaves its gradients local without an error."""

    def __init__(self, parameters: Iterable[nn.Parameter]):
        self._buckets = _buckets(list(parameters)[::-1]) if world_size() > 1 else []
        self._missing: list[int] = []
        self._travelling: list[_Travelling] = []
        self.early = 0  # number of buckets of the last backward pass that were sent before it ended
        for k, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(partial(self._arrived, k))

    def backward(self, loss: Tensor, *, last: bool = True) -> None:
        """`last`: whether this is the last of the micro-batches whose gradients add up; the gradients of earlier ones stay
        local."""
        self._missing = [len(bucket) for bucket in self._buckets] if last else []
        self._travelling, self.early = [], 0
        loss.backward()
        if self._missing:
            self.early = len(self._travelling)
            self._travelling += [_launch(bucket) for bucket in self._buckets[self.early :]]
            _land(self._travelling)
        self._missing = []  # a pass for another optimizer may reach these parameters too; its gradients for them are never read

    def _arrived(self, bucket: int, _: Tensor) -> None:
        if not self._missing:
            return
        self._missing[bucket] -= 1
        while (k := len(self._travelling)) < len(self._buckets) and self._missing[k] == 0:
            self._travelling.append(_launch(self._buckets[k]))


_Travelling = tuple[Any, Tensor, list[Tensor]]  # the collective, its flat tensor, the gradients that it becomes


def _buckets(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Consecutive parameters of one dtype and device, up to BUCKET_BYTES in a bucket."""
    buckets: list[list[nn.Parameter]] = []
    sizes: list[int] = []
    for parameter in parameters:
        size, last = parameter.numel() * parameter.element_size(), buckets[-1][-1] if buckets else None
        alike = last is not None and (last.dtype, last.device) == (parameter.dtype, parameter.device)
        if alike and sizes[-1] + size <= BUCKET_BYTES:
            buckets[-1].append(parameter)
            sizes[-1] += size
        else:
            buckets.append([parameter])
            sizes.append(size)
    return buckets


def _launch(bucket: Sequence[nn.Parameter]) -> _Travelling:
    grads = [parameter.grad for parameter in bucket if parameter.grad is not None]
    flat = torch.cat([grad.reshape(-1) for grad in grads]) if grads else torch.empty(0)
    return (dist.all_reduce(flat, async_op=True) if grads else None), flat, grads


def _land(travelling: Iterable[_Travelling]) -> None:
    for work, flat, grads in travelling:
        if work is None:
            continue
        work.wait()
        flat /= world_size()
        for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))
