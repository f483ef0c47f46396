"""k-means against hand-made groups, scikit-learn from the same start, and loops on the sphere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans

from ssl_pipelines.algorithms import kmeans as module
from ssl_pipelines.algorithms.kmeans import kmeans, nearest_centroid


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(k: int, each: int, spread: float, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Groups about corners of a cube of side 4, and which row is in which; rows of all groups in turn."""
    corners = torch.tensor([[(group >> axis) & 1 for axis in range(dim)] for group in range(1, k + 1)]) * 4.0
    truth = torch.arange(k).repeat(each)
    return corners[truth] + spread * torch.randn(k * each, dim, generator=seeded(1)), truth


def inertia(x: torch.Tensor, centroids: torch.Tensor, labels: torch.Tensor) -> float:
    return float((x.double() - centroids.double()[labels]).square().sum())


def same_grouping(a: torch.Tensor, b: torch.Tensor) -> bool:
    return len({*zip(a.tolist(), b.tolist())}) == len(set(a.tolist())) == len(set(b.tolist()))


def test_groups_that_lie_apart_are_found():
    x, truth = blobs(3, 30, 0.05)
    assert any(same_grouping(kmeans(x, 3, 20, seeded(seed))[1], truth) for seed in range(3))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_scikit_learn_from_the_same_start(seed):
    x = torch.randn(300, 8, generator=seeded(7), dtype=torch.float64)
    start = x[torch.randperm(300, generator=seeded(seed))[:9]].numpy()
    theirs = KMeans(9, init=start, n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(x.numpy())
    centroids, labels = kmeans(x, 9, 100, seeded(seed))
    assert inertia(x, centroids, labels) == pytest.approx(theirs.inertia_, rel=1e-9)
    assert labels.tolist() == theirs.labels_.tolist()


def test_on_the_sphere_it_is_the_loop_over_cosines():
    x = np.random.default_rng(3).normal(size=(60, 4)) * np.linspace(1, 9, 60)[:, None]
    rows = [row / np.sqrt(row @ row) for row in x]
    centers = [rows[i] for i in torch.randperm(60, generator=seeded(5))[:4].tolist()]
    for _ in range(8):
        members: list[list[np.ndarray]] = [[] for _ in centers]
        for row in rows:
            members[int(np.argmax([row @ center for center in centers]))].append(row)
        sums = [sum(group) for group in members]
        centers = [total / np.sqrt(total @ total) for total in sums]
    centroids, labels = kmeans(torch.tensor(x), 4, 8, seeded(5), spherical=True)
    np.testing.assert_allclose(centroids.numpy(), centers, atol=1e-12)
    assert labels.tolist() == [int(np.argmax([row @ center for center in centers])) for row in rows]


def test_more_rounds_are_never_worse():
    x = torch.randn(200, 5, generator=seeded(2), dtype=torch.float64)
    costs = [inertia(x, *kmeans(x, 7, rounds, seeded(0))) for rounds in range(6)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]


def test_one_and_as_many_clusters_as_rows():
    x = torch.randn(20, 3, generator=seeded(4), dtype=torch.float64)
    centroids, labels = kmeans(x, 1, 2, seeded())
    torch.testing.assert_close(centroids[0], x.mean(0))
    assert labels.tolist() == [0] * 20
    centroids, labels = kmeans(x, 20, 3, seeded())
    assert inertia(x, centroids, labels) == 0
    assert sorted(labels.tolist()) == list(range(20))


def test_an_empty_cluster_is_filled_again():
    """Three groups of equal rows: of two starts in one group the second gets no row, and two groups share the third start."""
    x, truth = blobs(3, 30, 0.0)
    starts = {seed: truth[torch.randperm(90, generator=seeded(seed))[:3]].tolist() for seed in range(20)}
    twice = [seed for seed, groups in starts.items() if len(set(groups)) == 2]
    assert len(twice) > 3
    for seed in twice:
        assert same_grouping(kmeans(x, 3, 40, seeded(seed))[1], truth)


def test_the_empty_one_and_its_donor_stand_beside_each_other():
    centroids = torch.tensor([[1.0, 2.0], [9.0, 9.0], [-3.0, 4.0]])
    counts = torch.tensor([10, 0, 1])
    found = module._repaired(centroids.clone(), counts, seeded())
    assert torch.equal(found[2], centroids[2]), "a cluster of one row has nothing to give"
    assert not torch.equal(found[0], found[1])
    torch.testing.assert_close(found[:2], centroids[0].expand(2, 2), rtol=2e-4, atol=0)
    assert counts.tolist() == [5, 5, 1]


def test_the_seed_decides():
    x = torch.randn(100, 4, generator=seeded(6))
    assert torch.equal(kmeans(x, 8, 5, seeded(1))[0], kmeans(x, 8, 5, seeded(1))[0])
    assert not torch.equal(kmeans(x, 8, 5, seeded(1))[0], kmeans(x, 8, 5, seeded(2))[0])


def test_parts_of_the_rows_are_compared_one_after_the_other(monkeypatch):
    x, centroids = torch.randn(50, 4, generator=seeded(1)), torch.randn(7, 4, generator=seeded(2))
    brute = torch.cdist(x.double(), centroids.double()).argmin(1)
    monkeypatch.setattr(module, "CELLS", 20)
    assert torch.equal(nearest_centroid(x, centroids), brute)


def test_directions_alone_count_on_the_sphere():
    x = torch.randn(40, 3, generator=seeded(3))
    lengths = torch.linspace(0.1, 10, 40).unsqueeze(1)
    assert torch.equal(kmeans(x, 4, 6, seeded(), spherical=True)[1], kmeans(x * lengths, 4, 6, seeded(), spherical=True)[1])
    assert (F.normalize(x, dim=1) @ kmeans(x, 4, 6, seeded(), spherical=True)[0].T).abs().max() <= 1 + 1e-6


def test_a_given_start_is_where_it_begins():
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    start = torch.tensor([[4.0], [100.0]])
    centroids, assigned = kmeans(x, 2, 0, torch.Generator(), start=start)
    assert torch.equal(centroids, start)
    assert assigned.tolist() == [0, 0, 0, 0]
