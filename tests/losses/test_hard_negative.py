"""The hard negative loss against loops in float64 and its limits. Robinson et al. 2021."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.debiased import debiased
from ssl_pipelines.losses.hard_negative import hard_negative
from ssl_pipelines.losses.nt_xent import nt_xent


def oracle(z1: np.ndarray, z2: np.ndarray, t: float, prior: float, beta: float) -> float:
    rows = [row / math.sqrt(row @ row) for row in (*z1, *z2)]
    n, total = len(z1), 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        positive = math.exp(rows[i] @ rows[j] / t)
        scores = [rows[i] @ rows[k] / t for k in range(2 * n) if k not in (i, j)]
        weights = [math.exp(beta * s) for s in scores]
        mean = sum(weights) / len(weights)
        count = len(scores)
        ng = (sum(w / mean * math.exp(s) for w, s in zip(weights, scores, strict=True)) - prior * count * positive) / (1 - prior)
        total -= math.log(positive / (positive + max(ng, count * math.exp(-1 / t))))
    return total / (2 * n)


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z1 = rng.normal(size=(6, 5))
    return z1, z1 + rng.normal(size=(6, 5))


@pytest.mark.parametrize(("prior", "beta"), [(0.1, 1.0), (0.1, 2.0), (0.3, 0.5)])
def test_equals_the_loops(views, prior, beta):
    found = hard_negative(torch.tensor(views[0]), torch.tensor(views[1]), 0.5, prior, beta)
    assert found.item() == pytest.approx(oracle(*views, 0.5, prior, beta), rel=1e-10)


def test_beta_zero_is_the_debiased_loss_and_nt_xent_below_it(views):
    z1, z2 = (torch.tensor(z) for z in views)
    assert hard_negative(z1, z2, 0.5, 0.2, 0.0).item() == pytest.approx(debiased(z1, z2, 0.5, 0.2).item(), rel=1e-12)
    assert hard_negative(z1, z2, 0.5, 0.0, 0.0).item() == pytest.approx(nt_xent(z1, z2, 0.5).item(), rel=1e-12)


def test_beta_without_end_sees_the_hardest_negative_alone(views):
    rows = [row / math.sqrt(row @ row) for row in (*views[0], *views[1])]
    total = 0.0
    for i in range(12):
        hardest = max(rows[i] @ rows[k] / 0.5 for k in range(12) if k not in (i, (i + 6) % 12))
        positive = math.exp(rows[i] @ rows[(i + 6) % 12] / 0.5)
        total -= math.log(positive / (positive + 10 * math.exp(hardest)))
    found = hard_negative(torch.tensor(views[0]), torch.tensor(views[1]), 0.5, 0.0, 1e5)
    assert found.item() == pytest.approx(total / 12, rel=1e-6)


def test_the_weights_have_gradients(views):
    z1 = torch.tensor(views[0], requires_grad=True)
    hard_negative(z1, torch.tensor(views[1]), 0.5, 0.1, 1.0).backward()
    for place in [(0, 0), (3, 2), (5, 4)]:
        up, down = views[0].copy(), views[0].copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        slope = (oracle(up, views[1], 0.5, 0.1, 1.0) - oracle(down, views[1], 0.5, 0.1, 1.0)) / 2e-6
        assert z1.grad[place].item() == pytest.approx(slope, abs=1e-7)
