"""NCE against loops in float64, and the closed forms of the memory bank's first step. Wu et al. 2018, eqs. 4 to 7."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.nce import log_normalizer, mean_normalizer, nce, nce_of_first_normalizer

N, T = 20, 0.3


def scores(rows: int = 4, negatives: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, rows), rng.uniform(-1, 1, (rows, negatives))


def oracle(positive: np.ndarray, negatives: np.ndarray, z: float) -> float:
    count = negatives.shape[1]

    def h(s: float) -> float:
        p = math.exp(s / T) / z
        return p / (p + count / N)

    total = 0.0
    for b in range(len(positive)):
        total -= math.log(h(positive[b])) + sum(math.log(1 - h(s)) for s in negatives[b])
    return total / len(positive)


def found(positive, negatives, z: float) -> torch.Tensor:
    return nce(torch.as_tensor(positive), torch.as_tensor(negatives), torch.tensor(math.log(z), dtype=torch.float64), N, T)


@pytest.mark.parametrize("z", [0.5, 30.0])
def test_equals_the_loops(z):
    positive, negatives = scores()
    assert found(positive, negatives, z).item() == pytest.approx(oracle(positive, negatives, z), rel=1e-12)


def test_a_bank_that_knows_nothing_costs_log_1_plus_m_and_more():
    """Every P = 1 / N: log(1 + m) + m log((1 + m) / m)."""
    m, n = 4096, 50_000
    value = nce(torch.zeros(3), torch.zeros(3, m), torch.tensor(math.log(n)), n, 0.07)
    assert value.item() == pytest.approx(math.log(1 + m) + m * math.log((1 + m) / m), rel=1e-5)
    assert value.item() == pytest.approx(9.318, abs=1e-3)


def test_the_gradient_is_one_minus_h_of_the_positive_and_h_of_the_noise():
    positive, negatives = (torch.tensor(x, requires_grad=True) for x in scores())
    found(positive, negatives, 30.0).backward()
    ratio = negatives.shape[1] / N
    p = (positive.detach() / T).exp() / 30
    q = (negatives.detach() / T).exp() / 30
    torch.testing.assert_close(positive.grad, -(1 - p / (p + ratio)) / T / len(p))
    torch.testing.assert_close(negatives.grad, q / (q + ratio) / T / len(p))


def test_the_true_distribution_is_where_the_expected_loss_is_lowest():
    """All N rows as noise once, the data drawn from P: the expectation's gradient at the true scores is zero (Gutmann & Hyvarinen)."""
    logits = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
    true = logits.softmax(0)
    s = logits.clone().requires_grad_()
    z = logits.exp().sum().log()
    rows = s.unsqueeze(1)
    each = torch.stack([nce(rows[k], s.unsqueeze(0), z, 4, 1.0) for k in range(4)])  # every row as the positive
    (true * each).sum().backward()
    assert s.grad.abs().max() < 1e-12


def test_certain_negatives_stay_finite_in_float32():
    value = nce(torch.tensor([-1.0]), torch.tensor([[1.0]]), torch.tensor(0.0), 10, 0.01)
    assert value.isfinite()
    assert value.item() == pytest.approx(200 + 2 * math.log(10) - math.log(10) * 2, rel=1e-3)


def test_the_normalizer_is_n_times_the_mean_of_all_scores():
    positive, negatives = scores()
    values = [math.exp(s / T) for s in [*positive, *negatives.ravel()]]
    found = log_normalizer(torch.tensor(positive), torch.tensor(negatives), N, T)
    assert found.item() == pytest.approx(math.log(N * sum(values) / len(values)), rel=1e-12)


def test_of_the_first_normalizer_the_given_one_wins():
    positive, negatives = torch.rand(4), torch.rand(4, 9)
    first = log_normalizer(positive, negatives, 50, 0.1)
    loss, log_z = nce_of_first_normalizer(positive, negatives, torch.tensor(torch.nan), 50, 0.1)
    assert log_z.item() == first.item()
    assert loss.item() == nce(positive, negatives, first, 50, 0.1).item()
    loss, log_z = nce_of_first_normalizer(positive, negatives, torch.tensor(2.5), 50, 0.1)
    assert log_z.item() == 2.5
    assert loss.item() == nce(positive, negatives, torch.tensor(2.5), 50, 0.1).item()


def test_of_several_micro_batches_z_is_the_mean():
    z = torch.tensor([3.0, 5.0, 10.0])
    assert mean_normalizer(list(z.log())).item() == pytest.approx(math.log(6), rel=1e-6)
    assert mean_normalizer([z.log()[0]]).item() == z.log()[0].item()
