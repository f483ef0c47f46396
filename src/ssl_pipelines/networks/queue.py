"""The keys of the last batches, oldest out first: negatives without a large batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.distributed import gather_rows


def whole_batches(most: int, batch_size: int, num_samples: int) -> int:
    """The largest multiple of the batch up to `most` and to half of the images; one batch at least."""
    return max(1, min(most, num_samples // 2) // batch_size) * batch_size


class Queue(nn.Module):
    """K unit rows, random at first. He et al. 2020 (MoCo), arXiv:1911.05722, section 3.2. K is a multiple of the global batch."""

    keys: Tensor
    position: Tensor

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """(B, D) of this rank: all ranks' rows take the place of the oldest."""
        keys = gather_rows(keys.detach())
        assert len(self.keys) % len(keys) == 0, (len(self.keys), len(keys))
        place = (self.position + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys.index_copy_(0, place, keys.to(self.keys))
        self.position.copy_((self.position + len(keys)) % len(self.keys))
