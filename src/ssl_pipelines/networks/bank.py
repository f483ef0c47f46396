"""The memory bank: one remembered embedding for every image of the training set."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import gather_rows, local_rows, world_size
from ssl_pipelines.networks.scores import row_scores

DENSE_UP_TO = 32  # bank rows for each drawn row: up to so many, all scores at once are faster than collecting (B, M, D) rows


def bank_negatives(asked: int | None, num_samples: int) -> int:
    """How many rows stand against each positive: `asked`; None: 4096, at most as many as images."""
    return min(4096, num_samples) if asked is None else asked


def check_negatives(key: str, asked: int | None, num_samples: int) -> None:
    """Raises InputError where more are asked for than there are images."""
    if asked is not None and asked > num_samples:
        raise InputError(f"{key}={asked} are more than the training images: allowed is up to {num_samples}, and null")


class MemoryBank(nn.Module):
    """N rows, uniform in +-sqrt(3 / D) at first (norm about 1), then unit. Wu et al. 2018 (InstDisc), arXiv:1805.01978, section 3.

    Every rank holds all rows and writes all ranks' updates, so a lookup is no communication and a checkpoint of one rank is whole."""

    rows: Tensor

    def __init__(self, size: int, dim: int, momentum: float):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("rows", torch.empty(size, dim).uniform_(-1, 1) * math.sqrt(3 / dim))

    @torch.no_grad()
    def update(self, ids: Tensor, z: Tensor) -> None:
        """row <- normalized(momentum row + (1 - momentum) z) for the ids (B,) and unit rows z (B, D) of this rank."""
        ids, z = gather_rows(ids), gather_rows(z.detach()).to(self.rows)
        self.rows.index_copy_(0, ids, F.normalize(torch.lerp(z, self.rows[ids], self.momentum), dim=1))

    def draw(self, batch: int, count: int) -> Tensor:
        """(B, count) ids, uniform with replacement; the own id may be among them. This rank's rows of one draw for the global batch."""
        drawn = torch.randint(len(self.rows), (batch * world_size(), count), device=self.rows.device)
        return drawn[local_rows(len(drawn))]

    def scores(self, z: Tensor, ids: Tensor) -> Tensor:
        """<z_b, row_id>: (B, D), (B, M) -> (B, M); no gradient enters the bank."""
        if len(self.rows) <= DENSE_UP_TO * ids.shape[1]:
            return row_scores(z, self.rows).gather(1, ids)
        return row_scores(z, self.rows[ids])

    def positives(self, z: Tensor, ids: Tensor) -> Tensor:
        """<z_b, row_id_b>: (B, D), (B,) -> (B,)."""
        return row_scores(z, self.rows[ids].unsqueeze(1)).squeeze(1)
