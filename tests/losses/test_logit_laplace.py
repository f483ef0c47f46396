"""The logit-Laplace density: it integrates to 1, and is the formula of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from ssl_pipelines.losses.logit_laplace import logit_laplace, released, squeezed


def density(x: float, mean: float, log_scale: float) -> float:
    values = [torch.tensor(value, dtype=torch.float64) for value in (x, mean, log_scale)]
    return float(logit_laplace(*values).exp())


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, 0.0), (1.5, -1.0), (-2.0, 0.7), (0.3, -3.0)])
def test_it_integrates_to_one(mean, log_scale):
    kink = 1 / (1 + np.exp(-mean))
    parts = [(0, kink), (kink, 1)]
    total = sum(quad(density, *part, args=(mean, log_scale), limit=200)[0] for part in parts)
    assert total == pytest.approx(1, abs=1e-6)


def test_it_is_the_papers_formula():
    random = np.random.default_rng(0)
    x, mean, log_scale = random.uniform(0.1, 0.9, (4, 3)), random.normal(size=(4, 3)), random.normal(size=(4, 3))
    found = logit_laplace(*(torch.tensor(value) for value in (x, mean, log_scale))).numpy()
    for place in np.ndindex(4, 3):
        b = np.exp(log_scale[place])
        distance = abs(np.log(x[place] / (1 - x[place])) - mean[place])
        oracle = np.exp(-distance / b) / (2 * b * x[place] * (1 - x[place]))
        assert found[place] == pytest.approx(np.log(oracle), rel=1e-10)


def test_pixels_are_squeezed_and_released():
    pixels = torch.linspace(0, 1, 11, dtype=torch.float64)
    inner = squeezed(pixels, 0.1)
    assert (inner.min().item(), inner.max().item()) == pytest.approx((0.1, 0.9))
    torch.testing.assert_close(released(inner, 0.1), pixels)
    assert released(torch.tensor([0.0, 1.0]), 0.1).tolist() == [0, 1]


def test_what_never_varies_has_a_bounded_density():
    x = torch.tensor(0.1, dtype=torch.float64)
    narrow, narrower = (logit_laplace(x, torch.logit(x), torch.tensor(s, dtype=torch.float64)) for s in (-5.0, -50.0))
    assert narrow == narrower
    assert narrow.isfinite()


def test_half_precision_is_raised():
    x = torch.rand(5).clamp(0.1, 0.9)
    found = logit_laplace(x, torch.zeros(5, dtype=torch.bfloat16), torch.zeros(5, dtype=torch.bfloat16))
    torch.testing.assert_close(found, logit_laplace(x, torch.zeros(5), torch.zeros(5)))
