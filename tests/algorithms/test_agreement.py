"""Neighbor purity against loops, and clusters that are known."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_rand_score

from ssl_pipelines.algorithms.agreement import clusters, neighbor_purity


@pytest.mark.parametrize("k", [1, 4, 29])
def test_purity_equals_the_loops(k):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(30, 5)), rng.integers(0, 3, 30)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = []
    for i in range(30):
        others = sorted((j for j in range(30) if j != i), key=lambda j: -(unit[i] @ unit[j]))[:k]
        expected.append(np.mean([labels[j] == labels[i] for j in others]))
    found = neighbor_purity(torch.tensor(x), torch.tensor(labels), k)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_an_image_is_no_neighbor_of_itself_even_among_equals():
    assert neighbor_purity(torch.ones(6, 3), torch.arange(6), 2).sum() == 0
    assert neighbor_purity(torch.ones(6, 3), torch.zeros(6, dtype=torch.int64), 2).tolist() == [1.0] * 6


def directions(per_class, noise, seed=0):
    labels = torch.arange(4).repeat_interleave(per_class)
    generator = torch.Generator().manual_seed(seed)
    return torch.eye(4, 8)[labels] + noise * torch.randn(len(labels), 8, generator=generator), labels


def test_separate_classes_are_pure_and_found():
    x, labels = directions(25, 0.02)
    assert neighbor_purity(x, labels, 10).min() == 1
    found = clusters(x, 4, 5, torch.Generator().manual_seed(0))
    assert adjusted_rand_score(labels.numpy(), found.numpy()) == 1


def test_of_several_starts_the_best_is_kept():
    x, _ = directions(20, 0.6)

    def cosine(found):
        centroids = torch.stack([F.normalize(F.normalize(x, dim=1)[found == k].sum(0), dim=0) for k in range(4)])
        return float(F.cosine_similarity(x, centroids[found], dim=1).mean())

    last_is_best = []
    for seed in range(6):
        each = torch.Generator().manual_seed(seed)
        single = [cosine(clusters(x, 4, 1, each)) for _ in range(4)]
        assert cosine(clusters(x, 4, 4, torch.Generator().manual_seed(seed))) == pytest.approx(max(single), abs=1e-4)
        last_is_best.append(single[-1] > max(single) - 1e-3)
    assert not all(last_is_best)  # so that keeping the last one would be seen
