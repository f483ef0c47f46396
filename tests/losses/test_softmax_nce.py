"""The softmax form of NCE against loops in float64. Misra & van der Maaten 2020 (PIRL), eqs. 2 and 3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.nce import softmax_nce


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("count", [1, 6])
def test_equals_the_loops(temperature, count):
    random = np.random.default_rng(count)
    positive, negatives = random.uniform(-1, 1, 5), random.uniform(-1, 1, (5, count))
    total = 0.0
    for p, row in zip(positive, negatives, strict=True):
        e = [math.exp(s / temperature) for s in [p, *row]]
        total -= math.log(e[0] / sum(e))
        for m in range(1, count + 1):
            total -= math.log(sum(x for k, x in enumerate(e) if k != m) / sum(e))
    found = softmax_nce(torch.tensor(positive), torch.tensor(negatives), temperature).item()
    assert found == pytest.approx(total / 5, rel=1e-9)


def test_equal_scores_cost_what_is_known():
    """All h = 1 / (1 + M)."""
    found = softmax_nce(torch.zeros(2), torch.zeros(2, 9), 0.07).item()
    assert found == pytest.approx(math.log(10) - 9 * math.log(0.9), rel=1e-6)


def test_a_negative_that_takes_nearly_all_has_a_finite_cost_and_a_gradient_in_float32():
    """1 - h rounds to 0 there."""
    negatives = torch.tensor([[0.99, -0.5]], requires_grad=True)
    loss = softmax_nce(torch.tensor([-0.9]), negatives, 0.02)
    loss.backward()
    expected = 1.89 / 0.02 + 1.49 / 0.02 - math.log1p(math.exp(-0.4 / 0.02))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert negatives.grad.isfinite().all()
    assert negatives.grad[0, 0].item() == pytest.approx(100, rel=1e-3)


def test_gradients_equal_finite_differences():
    random = np.random.default_rng(1)
    positive, negatives = (torch.tensor(random.uniform(-1, 1, shape), requires_grad=True) for shape in ((3,), (3, 4)))
    assert torch.autograd.gradcheck(lambda p, n: softmax_nce(p, n, 0.3), (positive, negatives))
