"""Collectives with gradients. On one rank each is the identity, so no method asks how many ranks there are."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


def local_rows(num_rows: int) -> slice:
    """The rows of a global batch that this rank works on. `num_rows` is a multiple of the number of ranks."""
    assert num_rows % world_size() == 0, (num_rows, world_size())
    share = num_rows // world_size()
    return slice(rank() * share, (rank() + 1) * share)


def rand_rows(num_rows: int, *shape: int, device: torch.device | None = None) -> Tensor:
    """U(0, 1) of (num_rows, *shape): this rank's rows of one draw for the global batch.

    All ranks are seeded alike before a step, so n ranks draw what one process would have drawn for the whole batch."""
    whole = torch.rand(num_rows * world_size(), *shape, device=device)
    return whole[local_rows(len(whole))]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        # Every rank's loss reads these rows, so their gradients add up over ranks; keeping the own rank's part alone would lose
        # gradients.
        total = grads[0].contiguous()
        dist.all_reduce(total)
        return total[local_rows(len(total))]


def gather_rows(rows: Tensor) -> Tensor:
    """(B, ...) on each of W ranks -> (W B, ...) on all, in rank order, with gradients back to every rank's rows."""
    return rows if world_size() == 1 else _Gather.apply(rows)


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total / world_size()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total / world_size()


def all_reduce_mean(value: Tensor) -> Tensor:
    """Mean over ranks, differentiable."""
    return value if world_size() == 1 else _Mean.apply(value)
