"""CLIP's loss against its pseudo-code in NumPy, closed forms, and the learnt scale. Radford et al. 2021, figure 3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.clip import clip
from ssl_pipelines.losses.info_nce import symmetric_info_nce


def oracle(z1: np.ndarray, z2: np.ndarray, log_scale: float) -> float:
    z1 = z1 / np.linalg.norm(z1, axis=1, keepdims=True)
    z2 = z2 / np.linalg.norm(z2, axis=1, keepdims=True)
    logits = np.exp(log_scale) * z1 @ z2.T
    rows = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    columns = logits - np.log(np.exp(logits).sum(0, keepdims=True))
    return float(-(np.trace(rows) + np.trace(columns)) / 2 / len(logits))


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(0).normal(size=(2, 6, 4)))


@pytest.mark.parametrize("log_scale", [0.0, 1.3, 4.6])
def test_equals_the_pseudo_code(views, log_scale):
    found = clip(torch.tensor(views[0]), torch.tensor(views[1]), torch.tensor(log_scale, dtype=torch.float64))
    assert found.item() == pytest.approx(oracle(*views, log_scale), rel=1e-10)


def test_identity_similarity_at_scale_s():
    eye, s = torch.eye(8, dtype=torch.float64), 5.0
    found = clip(eye, eye, torch.tensor(math.log(s), dtype=torch.float64))
    assert found.item() == pytest.approx(math.log(1 + 7 * math.exp(-s)), rel=1e-10)


def test_at_a_fixed_temperature_it_is_symmetric_info_nce(views):
    z1, z2 = (torch.tensor(z) for z in views)
    assert clip(z1, z2, -torch.tensor(0.07, dtype=torch.float64).log()).item() == pytest.approx(
        symmetric_info_nce(z1, z2, 0.07).item()
    )


def test_the_scale_has_a_gradient_also_at_its_bound(views):
    log_scale = torch.tensor(math.log(100), dtype=torch.float64, requires_grad=True)
    clip(torch.tensor(views[0]), torch.tensor(views[1]), log_scale).backward()
    slope = (oracle(*views, math.log(100) + 1e-6) - oracle(*views, math.log(100) - 1e-6)) / 2e-6
    assert log_scale.grad.item() == pytest.approx(slope, rel=1e-5)
    assert abs(slope) > 1
