"""The whitened smooth L1, against loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.whitened import whitened_smooth_l1


def oracle(prediction: np.ndarray, target: np.ndarray, beta: float) -> float:
    total, count = 0.0, 0
    for p, t in zip(prediction.reshape(-1, prediction.shape[-1]), target.reshape(-1, target.shape[-1]), strict=True):
        t = (t - t.mean()) / np.sqrt(((t - t.mean()) ** 2).mean() + 1e-5)
        for e in np.abs(p - t):
            total += e * e / (2 * beta) if e <= beta else e - beta / 2
            count += 1
    return total / count


@pytest.mark.parametrize("beta", [2.0, 0.5])
def test_equals_the_loops(beta):
    p, t = np.random.default_rng(0).normal(size=(2, 3, 5, 7)) * 3
    assert whitened_smooth_l1(torch.tensor(p), torch.tensor(t), beta).item() == pytest.approx(oracle(p, t, beta), rel=1e-12)


def test_with_beta_2_an_error_of_1_counts_a_quarter_and_one_of_5_counts_4():
    t = torch.tensor([[1.0, -1.0]], dtype=torch.float64) * 1e6  # whitened: 1 and -1
    assert whitened_smooth_l1(torch.tensor([[2.0, -1.0]], dtype=torch.float64), t, 2.0).item() == pytest.approx(0.25 / 2)
    assert whitened_smooth_l1(torch.tensor([[6.0, -1.0]], dtype=torch.float64), t, 2.0).item() == pytest.approx(4 / 2)


def test_the_teachers_scale_and_shift_do_not_matter():
    p, t = torch.randn(2, 4, 6, 32, dtype=torch.float64)
    one, other = (whitened_smooth_l1(p, target, 2.0) for target in (t, 50 * t + 7))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=0)


def test_no_gradient_reaches_the_teacher():
    p, t = torch.randn(2, 4, 8, requires_grad=True).unbind()
    t = t.detach().requires_grad_()
    whitened_smooth_l1(p, t, 2.0).backward()
    assert t.grad is None
