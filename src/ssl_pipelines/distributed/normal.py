"""Gaussian noise for the rows of a global batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.distributed.group import local_rows, world_size


def randn_rows(num_rows: int, *shape: int, device: torch.device | None = None) -> Tensor:
    """N(0, 1) of (num_rows, *shape): this rank's rows of one draw for the global batch."""
    whole = torch.randn(num_rows * world_size(), *shape, device=device)
    return whole[local_rows(len(whole))]
