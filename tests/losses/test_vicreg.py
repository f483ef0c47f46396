"""VICReg's terms against NumPy, and their closed forms. Bardes et al. 2022, eqs. 1 to 5."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.vicreg import covariance, invariance, variance


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z1 = rng.normal(size=(9, 4)) * [0.3, 0.9, 1.5, 0.1]
    return z1, z1 + 0.3 * rng.normal(size=(9, 4))


def test_terms_equal_numpy(views):
    z1, z2 = views
    cov = np.cov(z1, rowvar=False)
    t1, t2 = torch.tensor(z1), torch.tensor(z2)
    assert invariance(t1, t2).item() == pytest.approx(np.mean((z1 - z2) ** 2), rel=1e-12)
    assert variance(t1).item() == pytest.approx(np.mean([max(0, 1 - np.sqrt(cov[d, d] + 1e-4)) for d in range(4)]), rel=1e-10)
    off = sum(cov[i, j] ** 2 for i in range(4) for j in range(4) if i != j) / 4
    assert covariance(t1).item() == pytest.approx(off, rel=1e-10)


def test_a_constant_embedding_costs_099_in_variance_alone():
    z = torch.full((6, 3), 2.0, requires_grad=True)
    assert variance(z).item() == pytest.approx(0.99)
    assert covariance(z).item() == invariance(z, z).item() == 0
    assert torch.autograd.grad(variance(z), z)[0].isfinite().all()


def test_whitened_wide_embeddings_cost_nothing():
    z = torch.linalg.qr(torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    z = torch.linalg.qr(z - z.mean(0))[0] * 8  # centered, uncorrelated, standard deviation 8 / 7
    assert variance(z).item() == 0
    assert covariance(z).item() == pytest.approx(0, abs=1e-20)


def test_one_channel_has_nobody_to_vary_with():
    assert covariance(torch.randn(5, 1, generator=torch.Generator().manual_seed(0))).item() == 0


def test_lightly_agrees(views):
    lightly = pytest.importorskip("lightly.loss")
    z1, z2 = (torch.tensor(z, dtype=torch.float32) for z in views)
    ours = 25 * invariance(z1, z2) + 25 * (variance(z1) + variance(z2)) / 2 + covariance(z1) + covariance(z2)
    assert ours.item() == pytest.approx(lightly.VICRegLoss()(z1, z2).item(), rel=1e-4)
