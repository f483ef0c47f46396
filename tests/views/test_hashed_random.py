"""Numbers by hashing against SplitMix64 in Python's integers, and as random numbers."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.views.hashed_random import hashed_uniform

MASK = 2**64 - 1


def mixed(x: int) -> int:
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def test_equals_unsigned_integers_without_end():
    numbers = [[0, 0], [5, 2], [7, 149], [1999, 3]]
    a, b = torch.tensor(numbers).T
    for seed in (0, 2**62 - 1):
        found = hashed_uniform(torch.tensor(seed), 3, a, b)
        for row, (x, y) in zip(found, numbers, strict=True):
            state = seed
            for number in (x, y):
                state = mixed((state + 0x9E3779B97F4A7C15) & MASK) ^ mixed(number * 0x9E3779B97F4A7C15 & MASK)
            expected = [(mixed((state + 0x9E3779B97F4A7C15 * (k + 1)) & MASK) >> 40) / 2**24 for k in range(3)]
            assert row.tolist() == expected


def test_the_mixer_is_splitmix64():
    """The first outputs of the published generator from state 0."""
    assert [mixed(0x9E3779B97F4A7C15 * k & MASK) for k in (1, 2)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


def test_they_are_uniform_and_know_nothing_of_each_other():
    a, b = torch.cartesian_prod(torch.arange(100), torch.arange(100)).T
    x = hashed_uniform(torch.tensor(3), 4, a, b).double().numpy()  # (10000, 4)
    for column in x.T:
        gap = np.abs(np.sort(column) - (np.arange(10_000) + 0.5) / 10_000).max()
        assert gap < 1.95 / 100, "Kolmogorov-Smirnov at 0.1%"
    grid = x.reshape(100, 100, 4)
    neighbors = np.stack([grid[:-1, :-1, 0], grid[1:, :-1, 0], grid[:-1, 1:, 0], grid[:-1, :-1, 1]]).reshape(4, -1)
    assert np.abs(np.corrcoef(neighbors) - np.eye(4)).max() < 0.04


def test_other_seeds_and_other_numbers_give_other_rows():
    a = torch.arange(50)
    x, y = hashed_uniform(torch.tensor(3), 2, a), hashed_uniform(torch.tensor(4), 2, a)
    assert len(torch.unique(torch.cat([x, y]), dim=0)) == 100
    assert not torch.equal(hashed_uniform(torch.tensor(3), 2, a, a.flip(0)), hashed_uniform(torch.tensor(3), 2, a.flip(0), a))
    assert torch.equal(hashed_uniform(torch.tensor(3), 2, a[10:]), x[10:])
