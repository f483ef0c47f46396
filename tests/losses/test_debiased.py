"""The debiased loss against loops in float64 and its limits. Chuang et al. 2020."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.debiased import debiased
from ssl_pipelines.losses.nt_xent import nt_xent


def oracle(z1: np.ndarray, z2: np.ndarray, t: float, prior: float) -> tuple[float, int]:
    """The loss, and how many rows are at the bound."""
    rows = [row / math.sqrt(row @ row) for row in (*z1, *z2)]
    n, total, bounded = len(z1), 0.0, 0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        positive = math.exp(rows[i] @ rows[j] / t)
        negatives = [math.exp(rows[i] @ rows[k] / t) for k in range(2 * n) if k not in (i, j)]
        g = (sum(negatives) / len(negatives) - prior * positive) / (1 - prior)
        bounded += g < math.exp(-1 / t)
        total -= math.log(positive / (positive + len(negatives) * max(g, math.exp(-1 / t))))
    return total / (2 * n), bounded


def views(rows: int = 6, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z1 = rng.normal(size=(rows, 5))
    return z1, z1 + apart * rng.normal(size=(rows, 5))


@pytest.mark.parametrize(("prior", "apart", "some_bounded"), [(0.1, 1.0, False), (0.4, 0.3, True), (0.1, 3.0, False)])
def test_equals_the_loops(prior, apart, some_bounded):
    z1, z2 = views(apart=apart)
    expected, bounded = oracle(z1, z2, 0.5, prior)
    assert (bounded > 0) == some_bounded
    assert debiased(torch.tensor(z1), torch.tensor(z2), 0.5, prior).item() == pytest.approx(expected, rel=1e-10)


def test_without_a_prior_it_is_nt_xent():
    z1, z2 = (torch.tensor(z) for z in views())
    assert debiased(z1, z2, 0.5, 0.0).item() == pytest.approx(nt_xent(z1, z2, 0.5).item(), rel=1e-12)


def test_at_the_bound_negatives_have_no_gradient_and_nothing_is_nan():
    """Two images at antipodes: every negative has cosine -1, below what the correction leaves."""
    z1, z2 = (torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64, requires_grad=True) for _ in range(2))
    loss = debiased(z1, z2, 0.5, 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-2) / math.exp(2)), rel=1e-12)
    assert z1.grad.isfinite().all()


def test_a_small_share_of_negatives_left_is_raised_to_the_bound_too():
    """One view at a right angle, both views of the other image at cosine -1: 0 < g < exp(-1 / t), so nothing is negative before the bound."""
    z1, z2 = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[0.0, 1.0], [-1.0, 0.0]])
    g = (math.exp(-2) - 0.1) / 0.9
    assert 0 < g < math.exp(-2)
    expected, _ = oracle(z1, z2, 0.5, 0.1)
    assert debiased(torch.tensor(z1), torch.tensor(z2), 0.5, 0.1).item() == pytest.approx(expected, rel=1e-10)


def test_small_temperatures_stay_finite_in_float32():
    z1, z2 = (torch.tensor(z, dtype=torch.float32, requires_grad=True) for z in views())
    loss = debiased(z1, z2, 0.005, 0.1)
    loss.backward()
    assert loss.isfinite()
    assert z1.grad.isfinite().all()
