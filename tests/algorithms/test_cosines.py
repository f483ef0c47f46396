"""Cosines against loops; alignment and uniformity as the losses have them."""

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.algorithms.bootstrap import pair_mean
from ssl_pipelines.algorithms.cosines import cosine, cosine_matrix, gaussian_potential, squared_distance
from ssl_pipelines.losses.align_uniform import alignment, uniformity


def test_equal_the_loops():
    a, b = np.random.default_rng(0).normal(size=(2, 7, 4))
    expected = [x @ y / math.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosine(torch.tensor(a), torch.tensor(b)).numpy(), expected, atol=1e-14)
    matrix = cosine_matrix(torch.tensor(a)).numpy()
    for i, x in enumerate(a):
        for j, y in enumerate(a):
            assert matrix[i, j] == pytest.approx(x @ y / math.sqrt((x @ x) * (y @ y)), abs=1e-14)


def test_a_zero_row_counts_zero():
    assert cosine(torch.zeros(1, 3), torch.ones(1, 3)).item() == 0


def test_are_alignment_and_uniformity_of_wang_and_isola():
    z1, z2 = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(0)).double()
    assert float(squared_distance(cosine(z1, z2)).mean()) == pytest.approx(float(alignment(z1, z2)), rel=1e-6)
    potential = gaussian_potential(cosine_matrix(z1)).numpy()
    assert math.log(pair_mean(potential)) == pytest.approx(float(uniformity(z1)), rel=1e-5)


def test_antipodes():
    apart = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    assert math.log(pair_mean(gaussian_potential(cosine_matrix(apart)).numpy())) == pytest.approx(-8)
