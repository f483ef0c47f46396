"""k-center greedy against loops, and its radius against the best of all choices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ssl_pipelines.algorithms.k_center import covering_radius, k_center_greedy


def points(n, dim=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim)))


def loops(x, centers, count):
    """Farthest first, by Python floats."""
    rows, distances, centers = [], [], list(centers)
    for _ in range(count):
        far = [min(float(np.sqrt(((a - x[c]) ** 2).sum())) for c in centers) for a in x]
        row = max((i for i in range(len(x)) if i not in centers), key=lambda i: (far[i], -i))
        rows.append(row)
        distances.append(far[row])
        centers.append(row)
    return rows, distances


@pytest.mark.parametrize("centers", [[3], [0, 7, 19], list(range(0, 40, 2))])
def test_equals_the_loops(centers):
    x = points(40, 5)
    rows, distances = k_center_greedy(x, torch.tensor(centers), 12, torch.Generator())
    wanted, far = loops(x.numpy(), centers, 12)
    assert rows.tolist() == wanted
    assert distances.tolist() == pytest.approx(far, rel=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_the_radius_is_at_most_twice_the_best_of_all_choices(seed):
    x, k = points(10, 2, seed), 3
    rows, _ = k_center_greedy(x, torch.empty(0, dtype=torch.int64), k, torch.Generator().manual_seed(seed))
    best = min(covering_radius(x, torch.tensor(some)) for some in itertools.combinations(range(10), k))
    radius = covering_radius(x, rows)
    assert best <= radius + 1e-9
    assert radius <= 2 * best + 1e-9


def test_given_centers_are_covered_first():
    x = torch.tensor([[0.0], [0.1], [5.0], [5.1], [20.0]], dtype=torch.float64)
    rows, distances = k_center_greedy(x, torch.tensor([4]), 2, torch.Generator())
    assert rows.tolist() == [0, 3]
    assert distances.tolist() == pytest.approx([20, 5.1])


def test_twins_are_chosen_once_each():
    x = torch.zeros(6, 3)
    rows, _ = k_center_greedy(x, torch.tensor([2]), 5, torch.Generator())
    assert sorted(rows.tolist()) == [0, 1, 3, 4, 5]


def test_the_first_of_none_is_a_draw_of_the_generator():
    x, none = points(50), torch.empty(0, dtype=torch.int64)
    runs = [k_center_greedy(x, none, 3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert runs[0][0].tolist() == runs[1][0].tolist()
    assert runs[0][0][0] != runs[2][0][0]
    assert runs[0][1][0] == torch.inf
    assert len(set(runs[0][0].tolist())) == 3
