"""Eigenvalues, their power law and participation ratio where they are known, and against numpy."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from ssl_pipelines.algorithms.eigenspectrum import covariance_eigenvalues, participation_ratio, power_law


def falling(d, alpha, scale=1.0):
    return scale * torch.arange(1, d + 1, dtype=torch.float64) ** -alpha


def test_eigenvalues_are_squared_singular_values_of_the_centered_rows():
    x = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9) + 5
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    np.testing.assert_allclose(covariance_eigenvalues(torch.tensor(x)).numpy(), singular**2 / 49, rtol=1e-10)


def test_fewer_rows_than_dimensions_leave_zeros():
    found = covariance_eigenvalues(torch.randn(5, 12, generator=torch.Generator().manual_seed(0)))
    assert found.shape == (12,)
    assert (found[:4] > 1e-3).all()
    assert (found[4:] < 1e-9).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_power_law_is_found_again(scale):
    law = power_law(falling(300, 1.3, scale))
    assert law.alpha == pytest.approx(1.3, rel=1e-10)
    assert law.r2 == pytest.approx(1, abs=1e-12)
    assert (law.first, law.last) == (6, 100)


def test_equals_numpys_weighted_fit():
    noise = np.exp(np.random.default_rng(0).normal(0, 0.3, 150))
    eigenvalues = np.sort(np.arange(1, 151) ** -0.8 * noise)[::-1].copy()
    law = power_law(torch.from_numpy(eigenvalues))
    ranks = np.arange(6, 101)
    y = np.log(eigenvalues[5:100])
    slope, offset = np.polyfit(np.log(ranks), y, 1, w=np.sqrt(1 / ranks))  # polyfit weighs residuals, not their squares
    assert law.alpha == pytest.approx(-slope, rel=1e-9)
    assert law.r2 == pytest.approx(r2_score(y, offset + slope * np.log(ranks)), rel=1e-9)
    assert law.alpha != pytest.approx(-np.polyfit(np.log(ranks), y, 1)[0], rel=1e-3)  # weights matter here
    assert 0 < law.r2 < 0.999


def test_a_second_call_finds_the_same():
    eigenvalues = falling(200, 1.0) * (1 + 0.2 * torch.sin(torch.arange(200.0)))
    assert power_law(eigenvalues) == power_law(eigenvalues)


@pytest.mark.parametrize(("d", "last"), [(100, 100), (99, 89), (40, 30), (18, 8), (17, None), (3, None)])
def test_the_range_is_cut_where_there_are_few_dimensions(d, last):
    law = power_law(falling(d, 1.0))
    assert (law and law.last) == last


def test_directions_without_variance_are_not_fitted():
    law = power_law(torch.cat([falling(60, 1.1), torch.full((140,), 1e-17, dtype=torch.float64)]))
    assert law.last == 60
    assert law.alpha == pytest.approx(1.1, rel=1e-9)
    assert power_law(torch.zeros(200, dtype=torch.float64)) is None


@pytest.mark.parametrize(("eigenvalues", "ratio"), [([2.0] * 7, 7), ([3.0, 0, 0], 1), ([3.0, 1.0], 1.6), ([0.0, 0.0], 0)])
def test_the_participation_ratio(eigenvalues, ratio):
    assert participation_ratio(torch.tensor(eigenvalues)) == pytest.approx(ratio, rel=1e-12)
    assert participation_ratio(torch.tensor(eigenvalues) * 1e-3) == pytest.approx(ratio, rel=1e-6)
