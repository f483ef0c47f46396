"""InfoNCE against loops in float64, its closed forms, and the two directions. van den Oord et al. 2018, eq. 4."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.info_nce import in_batch_info_nce, info_nce, symmetric_info_nce


def test_explicit_negatives_equal_the_loops():
    rng = np.random.default_rng(0)
    positive, negatives, t = rng.normal(size=4), rng.normal(size=(4, 6)), 0.2
    total = 0.0
    for b in range(4):
        all_ = [math.exp(positive[b] / t)] + [math.exp(s / t) for s in negatives[b]]
        total -= math.log(all_[0] / sum(all_))
    assert info_nce(torch.tensor(positive), torch.tensor(negatives), t).item() == pytest.approx(total / 4, rel=1e-12)


def test_k_equal_scores_cost_log_k():
    assert info_nce(torch.full((3,), 0.4), torch.full((3, 99), 0.4), 0.07).item() == pytest.approx(math.log(100), rel=1e-6)


def test_orthonormal_queries_keys_and_queue():
    """He et al. 2020's loss where q = k and the queue is orthogonal: log(1 + K exp(-1 / t))."""
    found = info_nce(torch.ones(5, dtype=torch.float64), torch.zeros(5, 64, dtype=torch.float64), 0.2)
    assert found.item() == pytest.approx(math.log(1 + 64 * math.exp(-5)), rel=1e-12)


def unit(z: np.ndarray) -> np.ndarray:
    return np.stack([row / math.sqrt(row @ row) for row in z])


def oracle_in_batch(q: np.ndarray, k: np.ndarray, t: float) -> float:
    total = 0.0
    for i in range(len(q)):
        total -= math.log(math.exp(q[i] @ k[i] / t) / sum(math.exp(q[i] @ k[j] / t) for j in range(len(k))))
    return total / len(q)


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(1).normal(size=(2, 6, 4)))


def test_in_batch_equals_the_loops(views):
    q, k = (unit(z) for z in views)
    assert in_batch_info_nce(torch.tensor(q), torch.tensor(k), 0.3).item() == pytest.approx(oracle_in_batch(q, k, 0.3), rel=1e-12)
    assert oracle_in_batch(q, k, 0.3) != pytest.approx(oracle_in_batch(k, q, 0.3), rel=1e-3)  # one direction


def test_symmetric_is_the_mean_of_the_directions_whatever_the_lengths(views):
    q, k = (unit(z) for z in views)
    expected = (oracle_in_batch(q, k, 0.3) + oracle_in_batch(k, q, 0.3)) / 2
    found = symmetric_info_nce(torch.tensor(3 * views[0]), torch.tensor(0.1 * views[1]), 0.3)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_it_is_nt_xent_without_the_negatives_of_the_own_view(views):
    """The card's difference: N - 1 negatives against 2N - 2, so it costs less."""
    from ssl_pipelines.losses.nt_xent import nt_xent

    z1, z2 = (torch.tensor(z) for z in views)
    assert symmetric_info_nce(z1, z2, 0.3) < nt_xent(z1, z2, 0.3)


def test_lightlys_nt_xent_agrees_with_nt_xent(views):
    lightly = pytest.importorskip("lightly.loss")
    from ssl_pipelines.losses.nt_xent import nt_xent

    z1, z2 = (torch.tensor(z, dtype=torch.float32) for z in views)
    assert lightly.NTXentLoss(temperature=0.3)(z1, z2).item() == pytest.approx(nt_xent(z1, z2, 0.3).item(), rel=1e-5)
