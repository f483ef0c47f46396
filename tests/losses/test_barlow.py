"""Barlow Twins' loss against NumPy's correlation. Zbontar et al. 2021, eqs. 1 and 2."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.barlow import barlow, cross_correlation


@pytest.fixture
def views() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z1 = rng.normal(2, 3, size=(40, 5))
    return z1, z1 + rng.normal(size=(40, 5))


def test_the_matrix_is_numpys_block_of_correlations(views):
    expected = np.corrcoef(views[0], views[1], rowvar=False)[:5, 5:]
    found = cross_correlation(torch.tensor(views[0]), torch.tensor(views[1]))
    assert found.numpy() == pytest.approx(expected, abs=1e-5)  # up to batch norm's eps


def test_the_loss_is_the_sums_of_the_paper(views):
    c = np.corrcoef(views[0], views[1], rowvar=False)[:5, 5:]
    expected = sum((1 - c[i, i]) ** 2 for i in range(5)) + 0.3 * sum(c[i, j] ** 2 for i in range(5) for j in range(5) if i != j)
    assert barlow(torch.tensor(views[0]), torch.tensor(views[1]), 0.3).item() == pytest.approx(expected, rel=1e-4)


def test_equal_views_of_more_channels_than_rows_cannot_be_decorrelated():
    """The card's bound: sum of squares off the diagonal >= D^2 / (B - 1) - D, and the diagonal is 1."""
    z = torch.randn(8, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    off = barlow(z, z, 1.0)
    assert off.item() >= (30**2 / 7 - 30) * 0.999
    assert barlow(z, z, 0.0).item() == pytest.approx(0, abs=1e-6)


def test_orders_of_the_rows_and_scales_of_the_channels_do_not_matter(views):
    z1, z2 = (torch.tensor(z) for z in views)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert barlow(z1[order], z2[order], 0.3).item() == pytest.approx(barlow(z1, z2, 0.3).item(), rel=1e-10)
    scaled = z1 * torch.tensor([1.0, 7, 2, 3, 100]) - 5
    assert barlow(scaled, z2, 0.3).item() == pytest.approx(barlow(z1, z2, 0.3).item(), rel=1e-4)


def test_a_channel_that_is_asleep_costs_one_and_is_finite():
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    z[:, 1] = 4.0
    z = z.requires_grad_()
    loss = barlow(z, z, 0.0)
    assert loss.item() == pytest.approx(1, abs=1e-3)
    assert torch.autograd.grad(loss, z)[0].isfinite().all()


def test_lightly_agrees(views):
    lightly = pytest.importorskip("lightly.loss")
    z1, z2 = (torch.tensor(z, dtype=torch.float32) for z in views)
    expected = lightly.BarlowTwinsLoss(lambda_param=0.3)(z1, z2).item()
    assert barlow(z1, z2, 0.3).item() == pytest.approx(expected, rel=1e-2)  # its variances are unbiased: 39 / 40
