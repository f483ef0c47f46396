"""Greedy sets of permutations, against all permutations of four items one by one."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
import torch

from ssl_pipelines.algorithms.permutations import distant_permutations


def hamming(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def mean_distance(rows: list[tuple[int, ...]]) -> float:
    found = [hamming(a, b) for a, b in combinations(rows, 2)]
    return sum(found) / len(found)


def test_every_choice_is_the_farthest_in_the_mean_from_those_before():
    chosen = [tuple(row) for row in distant_permutations(4, 24).tolist()]
    assert sorted(chosen) == sorted(permutations(range(4))), "all 24, each once"
    for k in range(1, 24):
        rest = [one for one in permutations(range(4)) if one not in chosen[:k]]
        total = {one: sum(hamming(one, former) for former in chosen[:k]) for one in rest}
        assert total[chosen[k]] == max(total.values())


def test_nine_tiles_lie_farther_apart_than_random_ones():
    """Known: 8.16 at 50 permutations, 8.02 for random ones; the mean of two random ones is 8."""
    rows = [tuple(row) for row in distant_permutations(9, 50).tolist()]
    assert len(set(rows)) == 50
    assert all(sorted(row) == list(range(9)) for row in rows)
    assert mean_distance(rows) == pytest.approx(8.16, abs=0.01)
    random = [tuple(torch.randperm(9, generator=torch.Generator().manual_seed(k)).tolist()) for k in range(50)]
    assert mean_distance(random) == pytest.approx(8.02, abs=0.06)


def test_sets_repeat_begin_alike_and_nobody_can_spoil_them():
    small, large = distant_permutations(5, 10), distant_permutations(5, 40)
    assert torch.equal(small, large[:10])
    large.zero_()
    assert torch.equal(distant_permutations(5, 40)[:10], small)
    assert small[0].tolist() != [0, 1, 2, 3, 4], "the first one is random"
