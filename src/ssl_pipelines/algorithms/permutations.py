"""Sets of permutations that are far apart."""

from __future__ import annotations

import math
from functools import cache
from itertools import chain, permutations

import numpy as np
import torch
from torch import Tensor

MOST_ITEMS = 9  # all permutations are looked at: 362,880


def distant_permutations(items: int, count: int) -> Tensor:
    """(count, items) int64, all different, always the same: greedily the one that is farthest from those chosen, in the mean.

    The distance is Hamming's: in how many places two permutations differ. The first one, and the choice among equals, are random
    but fixed. A smaller set is the beginning of a larger one. Noroozi & Favaro 2016, arXiv:1603.09246, algorithm 1."""
    assert 2 <= items <= MOST_ITEMS, items
    assert 1 <= count <= math.factorial(items), count
    return _chosen(items, count).clone()


@cache
def _chosen(items: int, count: int) -> Tensor:
    every = np.fromiter(chain.from_iterable(permutations(range(items))), np.int8).reshape(-1, items)
    places = np.ascontiguousarray(np.random.default_rng(0).permutation(every).T)  # (items, items!): a row a place
    # Number of places shared with the chosen ones, summed: the fewest is the largest mean distance.
    agreement = np.zeros(places.shape[1], np.int32)
    chosen = [0]
    while len(chosen) < count:
        last = chosen[-1]
        for place in places:
            agreement += place == place[last]
        agreement[last] = np.iinfo(np.int32).max // 2
        chosen.append(int(agreement.argmin()))
    return torch.from_numpy(places[:, chosen].T.astype(np.int64))
