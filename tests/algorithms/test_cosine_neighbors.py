"""Nearest neighbors against loops in float64, and in the two limits that are known."""

import numpy as np
import pytest
import torch

from ssl_pipelines.algorithms import neighbors
from ssl_pipelines.algorithms.neighbors import knn_predict, nearest


def brute_force(bank, labels, queries, k, temperature, num_classes):
    answers, found = [], []
    for q in queries:
        sims = [float(q @ b / np.sqrt((q @ q) * (b @ b))) for b in bank]
        order = sorted(range(len(bank)), key=lambda i: (-sims[i], i))[:k]
        scores = [0.0] * num_classes
        for i in order:
            scores[labels[i]] += np.exp(sims[i] / temperature)
        answers.append(scores.index(max(scores)))
        found.append(order)
    return np.array(answers), np.array(found)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 6)), rng.integers(0, 4, 90), rng.normal(size=(37, 6))


@pytest.mark.parametrize(
    ("k", "temperature", "chunk", "block"), [(1, 0.07, 512, 16384), (7, 0.07, 5, 16384), (20, 0.5, 37, 11), (90, 0.1, 10, 7)]
)
def test_matches_loops(data, monkeypatch, k, temperature, chunk, block):
    monkeypatch.setattr(neighbors, "BLOCK", block)
    bank, labels, queries = data
    answers, found = brute_force(bank, labels, queries, k, temperature, 4)
    tensors = torch.tensor(bank), torch.tensor(labels), torch.tensor(queries)
    assert np.array_equal(knn_predict(*tensors, k, temperature, 4, chunk).numpy(), answers)
    assert np.array_equal(nearest(tensors[0], tensors[2], k, chunk).numpy(), found)


def test_one_neighbor_is_the_nearest(data):
    bank, labels, queries = map(torch.tensor, data)
    expected = labels[nearest(bank, queries, 1)[:, 0]]
    assert torch.equal(knn_predict(bank, labels, queries, 1, 0.07, 4), expected)


def test_infinite_temperature_is_the_majority(data):
    bank, labels, queries = map(torch.tensor, data)
    votes = labels[nearest(bank, queries, 15)]
    majority = torch.stack([torch.bincount(row, minlength=4) for row in votes]).argmax(1)
    assert torch.equal(knn_predict(bank, labels, queries, 15, 1e20, 4), majority)
    assert not torch.equal(knn_predict(bank, labels, queries, 15, 0.01, 4), majority)  # so the temperature does act


@pytest.mark.parametrize("block", [3, 16384])
def test_ties_go_to_the_lower_index(monkeypatch, block):
    monkeypatch.setattr(neighbors, "BLOCK", block)
    bank = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 0.5], [5.0, 0.0]])
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert nearest(bank, queries, 3).tolist() == [[1, 2, 4], [0, 3, 5]]
    assert nearest(bank, queries, 5).tolist() == [[1, 2, 4, 6, 0], [0, 3, 5, 1, 2]]


def test_scale_of_rows_does_not_matter_and_small_temperatures_stay_finite(data):
    bank, labels, queries = map(torch.tensor, data)
    plain = knn_predict(bank, labels, queries, 9, 1e-4, 4)
    assert torch.equal(plain, labels[nearest(bank, queries, 1)[:, 0]])  # exp(1 / 1e-4) would overflow
    assert torch.equal(knn_predict(bank * 1e3, labels, queries * 1e-3, 9, 0.07, 4), knn_predict(bank, labels, queries, 9, 0.07, 4))


@pytest.mark.parametrize("size", [640, 647])  # a whole number of stripes, and seven columns over
@pytest.mark.parametrize("levels", [10**6, 40])  # without ties, and with many
def test_short_selections_find_what_a_sort_finds(size, levels):
    rows = torch.randint(0, levels, (50, size), generator=torch.Generator().manual_seed(0)).float()
    rows[0, -1] = levels  # the best stands among the columns left over
    k = 9
    assert 2 * (size // neighbors.STRIPES + (k + 1) * neighbors.STRIPES) <= size, "the long selection would be taken"
    values, indices = neighbors._top(rows, k)
    expected = rows.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values.sort(dim=1, descending=True).values, expected.values[:, :k])
    assert torch.equal(indices.sort(dim=1).values, expected.indices[:, :k].sort(dim=1).values)
