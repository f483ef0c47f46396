"""What the losses over two views of a batch share: rows, positives and negatives over all ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_pipelines.distributed import gather_rows, rank, world_size


class Pairs(NamedTuple):
    """2B unit rows of this rank, both views one after the other, against the 2N of all ranks."""

    similarity: Tensor  # (2B, 2N) cosines
    positive: Tensor  # (2B,) column of the other view
    own: Tensor  # (2B,) column of the row itself

    @property
    def negative(self) -> Tensor:
        """(2B, 2N) bool: the 2N - 2 views of other images."""
        others = torch.ones_like(self.similarity, dtype=torch.bool)
        return others.scatter(1, torch.stack([self.positive, self.own], 1), False)

    @property
    def num_negatives(self) -> int:
        return self.similarity.shape[1] - 2

    @property
    def positive_similarity(self) -> Tensor:
        """(2B,)"""
        return self.similarity.gather(1, self.positive.unsqueeze(1)).squeeze(1)


def pairs(z1: Tensor, z2: Tensor, *, detach_keys: bool = False) -> Pairs:
    """(B, D), (B, D) of this rank, of any length. Gradients reach the rows of all ranks, or with `detach_keys` the 2B queries alone."""
    z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    keys = torch.cat([gather_rows(z1), gather_rows(z2)])  # (2N, D)
    keys = keys.detach() if detach_keys else keys
    b, n = len(z1), len(z1) * world_size()
    row = torch.arange(b, device=z1.device) + rank() * b
    return Pairs(torch.cat([z1, z2]) @ keys.T, torch.cat([row + n, row]), torch.cat([row, row + n]))


def logsumexp_where(logits: Tensor, mask: Tensor) -> Tensor:
    """log sum_j exp(logits_ij) over the j that the mask holds.   (B, M), (B, M) bool -> (B,)."""
    return logits.masked_fill(~mask, float("-inf")).logsumexp(1)
