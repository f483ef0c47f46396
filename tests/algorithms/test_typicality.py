"""Typicality against numpy, and TypiClust where the clusters are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.algorithms import typicality as module
from ssl_pipelines.algorithms.typicality import typicality, typiclust

CENTERS = np.eye(4, 8)  # four directions, at right angles


def blobs(sizes, noise=0.05, seed=0):
    """Unit rows around CENTERS, and whose they are."""
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    x = CENTERS[owner] + noise * random.normal(size=(len(owner), 8))
    return torch.from_numpy(x / np.linalg.norm(x, axis=1, keepdims=True)), owner


def oracle(x, k):
    distances = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    np.fill_diagonal(distances, np.inf)
    return 1 / (np.sort(distances, axis=1)[:, :k].mean(1) + 1e-5)


@pytest.mark.parametrize("k", [1, 5, 29])
def test_equals_numpy_also_in_blocks(k, monkeypatch):
    x = np.random.default_rng(1).normal(size=(30, 4))
    monkeypatch.setattr(module, "BLOCK", 7)
    assert typicality(torch.from_numpy(x), k).numpy() == pytest.approx(oracle(x, k), rel=1e-6)


def test_twins_have_a_finite_typicality():
    assert typicality(torch.ones(4, 3), 2).tolist() == pytest.approx([1e5] * 4, rel=1e-3)


def choose(x, labeled, count, seed=0):
    rows, values = typiclust(x, torch.tensor(labeled, dtype=torch.int64), count, torch.Generator().manual_seed(seed))
    return rows.tolist(), values.tolist()


def test_one_of_each_cluster_the_largest_first_and_the_densest_of_it():
    x, owner = blobs([40, 30, 20, 10])
    rows, values = choose(x, [], 4)
    assert owner[rows].tolist() == [0, 1, 2, 3]
    for cluster, (row, value) in enumerate(zip(rows, values, strict=True)):
        members = np.flatnonzero(owner == cluster)
        wanted = oracle(x.numpy()[members], min(20, len(members) // 2))
        assert row == members[wanted.argmax()]
        assert value == pytest.approx(wanted.max(), rel=1e-4)


def test_clusters_with_a_label_are_left_for_those_without():
    x, owner = blobs([40, 30, 20, 10])
    labeled = [int(np.flatnonzero(owner == cluster)[0]) for cluster in (0, 1)]
    rows, _ = choose(x, labeled, 2)
    assert set(owner[rows]) == {2, 3}


def test_no_row_comes_twice_and_none_that_has_a_label_also_when_all_are_asked_for():
    x, _ = blobs([12, 8])
    rows, _ = choose(x, [0, 5], 18)
    assert sorted([*rows, 0, 5]) == list(range(20))


def test_a_cluster_of_outliers_waits_behind_large_ones_that_have_a_label():
    x, owner = blobs([20, 3, 20, 20])
    assert 1 not in owner[choose(x, [], 4)[0]]


def test_a_capped_number_of_clusters_gives_more_than_one_of_each(monkeypatch):
    monkeypatch.setattr(module, "MAX_CLUSTERS", 2)
    x, owner = blobs([30, 25])
    assert owner[choose(x, [], 6)[0]].tolist() == [0, 1, 0, 1, 0, 1]


def test_the_same_generator_makes_the_same_choice():
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(80, 5)))
    assert choose(x, [4], 10, seed=7) == choose(x, [4], 10, seed=7)
