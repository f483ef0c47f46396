"""Alignment and uniformity against loops in float64, and on spheres where the integral is known. Wang & Isola 2020."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.align_uniform import align_uniform, alignment, uniformity


def unit(z: np.ndarray) -> list[np.ndarray]:
    return [row / math.sqrt(row @ row) for row in z]


def align_oracle(z1, z2, alpha: float) -> float:
    return sum(math.sqrt((a - b) @ (a - b)) ** alpha for a, b in zip(unit(z1), unit(z2), strict=True)) / len(z1)


def uniform_oracle(z, t: float) -> float:
    rows = unit(z)
    values = [math.exp(-t * ((rows[i] - rows[j]) @ (rows[i] - rows[j]))) for i in range(len(z)) for j in range(i)]
    return math.log(sum(values) / len(values))


@pytest.mark.parametrize(("alpha", "t"), [(2, 2), (1, 3), (3, 0.5)])
def test_equal_the_loops(alpha, t):
    z1, z2 = np.random.default_rng(0).normal(size=(2, 7, 4))
    t1, t2 = torch.tensor(z1), torch.tensor(z2)
    assert alignment(t1, t2, alpha).item() == pytest.approx(align_oracle(z1, z2, alpha), rel=1e-10)
    assert uniformity(t1, t).item() == pytest.approx(uniform_oracle(z1, t), rel=1e-10)
    expected = 3 * align_oracle(z1, z2, alpha) + 0.5 * (uniform_oracle(z1, t) + uniform_oracle(z2, t)) / 2
    assert align_uniform(t1, t2, alpha, t, 3, 0.5).item() == pytest.approx(expected, rel=1e-10)


def test_two_antipodes_are_as_uniform_as_two_points_can_be():
    assert uniformity(torch.tensor([[0.0, 2.0], [0.0, -1.0]])).item() == pytest.approx(-8)


def test_a_collapsed_embedding_is_aligned_and_not_uniform():
    same = torch.ones(5, 3, requires_grad=True)
    for alpha in (1.0, 2.0):
        loss = alignment(same, same.detach(), alpha)
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert torch.autograd.grad(loss, same)[0].isfinite().all()
    assert uniformity(same).item() == pytest.approx(0, abs=1e-6)


def test_the_circle_has_its_integral():
    """Uniform on S^1: log(exp(-2t) I0(2t)), without the n pairs of a point with itself."""
    n, t = 400, 2.0
    angle = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
    bessel = np.i0(2 * t) * math.exp(-2 * t)
    expected = math.log((n * bessel - 1) / (n - 1))  # the whole sum of n points is exact for so smooth a function
    assert uniformity(torch.stack([angle.cos(), angle.sin()], 1), t).item() == pytest.approx(expected, rel=1e-9)


def test_rotations_and_lengths_do_not_matter():
    z = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    assert uniformity(7 * z @ turn).item() == pytest.approx(uniformity(z).item(), rel=1e-10)


def test_a_large_t_does_not_underflow_in_float32():
    assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 100).item() == pytest.approx(-400)
