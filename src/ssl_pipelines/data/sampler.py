"""Which images a step draws: a fresh permutation an epoch, as a function of (seed, step) alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.seeding import generator

Ids = NDArray[np.int64]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Full batches in n images; the incomplete last one is dropped. Raises InputError if there is not even one."""
    if n < batch_size:
        raise InputError(f"pretrain.batch_size={batch_size} is larger than the number of images to train on: allowed is 1 to {n}")
    return n // batch_size


def batch_ids(ids: Ids, batch_size: int, seed: int, step: int) -> Ids:
    """The ids of global batch `step`: (batch_size,). No id comes twice in an epoch; nothing is remembered between calls."""
    epoch, position = divmod(step, steps_per_epoch(len(ids), batch_size))
    rows = _permutation(len(ids), seed, epoch)[position * batch_size : (position + 1) * batch_size]
    return np.asarray(ids)[rows]


class Sampler:
    """`batch_ids` with everything but the step filled in."""

    def __init__(self, ids: Ids, batch_size: int, seed: int):
        self.ids, self.batch_size, self.seed = ids, batch_size, seed
        self.steps_per_epoch = steps_per_epoch(len(ids), batch_size)

    def batch_ids(self, step: int) -> Ids:
        return batch_ids(self.ids, self.batch_size, self.seed, step)


@lru_cache(maxsize=2)  # this epoch's and, at the border, the next one's
def _permutation(n: int, seed: int, epoch: int) -> Ids:
    order = generator(seed, "sampler", epoch).permutation(n)
    order.flags.writeable = False
    return order
