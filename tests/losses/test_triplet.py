"""Triplets against O(B^3) loops in float64. Schroff et al. 2015; Hermans et al. 2017."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.triplet import batch_hard_triplet, semi_hard_triplet

OPPOSITE = 0.2


def distances(z1: np.ndarray, z2: np.ndarray) -> list[list[float]]:
    rows = [row / math.sqrt(row @ row) for row in (*z1, *z2)]
    return [[float((a - b) @ (a - b)) for b in rows] for a in rows]


def semi_hard_oracle(z1: np.ndarray, z2: np.ndarray, margin: float) -> float:
    d, n, active = distances(z1, z2), len(z1), []
    for a in range(2 * n):
        p = (a + n) % (2 * n)
        negatives = [d[a][k] for k in range(2 * n) if k not in (a, p)]
        farther = [x for x in negatives if x > d[a][p]]
        chosen = min(farther) if farther else max(negatives)
        if d[a][p] - chosen + margin > 0:
            active.append(d[a][p] - chosen + margin)
    return sum(active) / len(active) if active else 0.0


def batch_hard_oracle(z1: np.ndarray, z2: np.ndarray, margin: float, form: str) -> float:
    d, n, total = distances(z1, z2), len(z1), 0.0
    for a in range(2 * n):
        p = (a + n) % (2 * n)
        gap = math.sqrt(d[a][p]) - min(math.sqrt(d[a][k]) for k in range(2 * n) if k not in (a, p))
        total += math.log(1 + math.exp(gap)) if form == "softplus" else max(0.0, gap + margin)
    return total / (2 * n)


def views(rows: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The second view is the first one and `apart` times noise; at OPPOSITE it is turned round, so that no negative is farther."""
    rng = np.random.default_rng(seed)
    z1 = rng.normal(size=(rows, 6))
    return z1, (-1 if apart == OPPOSITE else 1) * z1 + apart * rng.normal(size=(rows, 6))


@pytest.mark.parametrize("apart", [0.1, 0.6, 3.0, OPPOSITE])
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_equal_the_loops(apart, margin):
    z1, z2 = views(8, apart)
    t1, t2 = torch.tensor(z1), torch.tensor(z2)
    assert semi_hard_triplet(t1, t2, margin).item() == pytest.approx(semi_hard_oracle(z1, z2, margin), rel=1e-10)
    for form in ("hinge", "softplus"):
        expected = batch_hard_oracle(z1, z2, margin, form)
        assert batch_hard_triplet(t1, t2, margin, form).item() == pytest.approx(expected, rel=1e-10)


def test_some_of_what_was_compared_has_no_semi_hard_negative_and_some_has():
    def without(apart: float) -> int:
        d = distances(*views(8, apart))
        others = [[k for k in range(16) if k not in (a, (a + 8) % 16)] for a in range(16)]
        return sum(max(d[a][k] for k in others[a]) <= d[a][(a + 8) % 16] for a in range(16))

    assert without(0.6) == 0
    assert without(OPPOSITE) > 8


def test_a_satisfied_batch_costs_nothing_and_has_no_gradient():
    z1, z2 = (torch.eye(4).requires_grad_() for _ in range(2))
    for loss in (semi_hard_triplet(z1, z2, 0.2), batch_hard_triplet(z1, z2, 0.2)):
        grads = torch.autograd.grad(loss, [z1, z2])
        assert loss.item() == 0
        assert all(grad.abs().max() == 0 for grad in grads)


def test_a_collapsed_batch_costs_the_margin_and_stays_finite():
    z1, z2 = (torch.ones(4, 3, requires_grad=True) for _ in range(2))
    for loss in (semi_hard_triplet(z1, z2, 0.2), batch_hard_triplet(z1, z2, 0.2)):
        assert loss.item() == pytest.approx(0.2, abs=1e-5)
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, [z1, z2]))


def test_a_single_image_is_refused():
    with pytest.raises(ValueError, match="2 images"):
        semi_hard_triplet(torch.ones(1, 3), torch.ones(1, 3), 0.2)
    with pytest.raises(ValueError, match="2 images"):
        batch_hard_triplet(torch.ones(1, 3), torch.ones(1, 3), 0.2)
