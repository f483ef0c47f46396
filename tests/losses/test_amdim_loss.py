"""AMDIM's loss against loops at three images, its closed forms, and its clip. Bachman et al. 2019, section 3.4."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.amdim import amdim_loss, soft_clip


def oracle(source: np.ndarray, places: np.ndarray, clip: float, penalty: float) -> float:
    b, r = source.shape
    k = places.shape[2]
    raw = [[[source[i] @ places[j, :, p] / math.sqrt(r) for p in range(k)] for j in range(b)] for i in range(b)]
    total = 0.0
    for i in range(b):
        clipped = [[clip * math.tanh(s / clip) for s in row] for row in raw[i]]
        others = sum(math.exp(s) for j in range(b) if j != i for s in clipped[j])
        total += sum(-math.log(math.exp(clipped[i][p]) / (math.exp(clipped[i][p]) + others)) for p in range(k))
    return total / (b * k) + penalty * float(np.mean(np.square(raw)))


@pytest.mark.parametrize(("clip", "scale"), [(20.0, 1.0), (2.0, 6.0)])
def test_equals_the_loops(clip, scale):
    random = np.random.default_rng(1)
    source, places = scale * random.normal(size=(3, 8)), random.normal(size=(3, 8, 4))
    found = amdim_loss(torch.tensor(source), torch.tensor(places), clip, 0.04).item()
    assert found == pytest.approx(oracle(source, places, clip, 0.04), rel=1e-12)


@pytest.mark.parametrize(("places", "value"), [(25, 7.363), (49, 8.035)])
def test_zero_scores_cost_the_logarithm_of_the_candidates(places, value):
    found = amdim_loss(torch.zeros(64, 16), torch.randn(64, 16, places), 20, 0.04).item()
    assert found == pytest.approx(value, abs=1e-3)
    assert found == pytest.approx(math.log(1 + 63 * places), rel=1e-6)


def test_the_penalty_reads_raw_scores_not_clipped_ones():
    source, places = 1e3 * torch.ones(2, 4), torch.ones(2, 4, 3)
    raw = (1e3 * 4 / 2) ** 2
    assert amdim_loss(source, places, 20, 0.04).item() == pytest.approx(math.log(1 + 3) + 0.04 * raw, rel=1e-5)


def test_soft_clip_bounds_and_leaves_small_scores():
    x = torch.tensor([-1e6, -0.1, 0.0, 0.1, 30.0])
    found = soft_clip(x, 20)
    assert found.abs().max() <= 20
    torch.testing.assert_close(found[1:4], x[1:4], rtol=1e-4, atol=0)
    assert found[4] < 20
