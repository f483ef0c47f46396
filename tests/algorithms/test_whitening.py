"""Whitening against the identity, and numpy's singular vectors."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.algorithms.whitening import whiten


def rows(n: int = 200, d: int = 6) -> torch.Tensor:
    random = np.random.default_rng(0)
    return torch.tensor(random.normal(size=(n, d)) @ random.normal(size=(d, d)) + 5)


def test_what_is_white_has_mean_zero_and_the_identity_as_covariance():
    z = whiten(rows(), 6, epsilon=0)
    torch.testing.assert_close(z.mean(0), torch.zeros(6, dtype=z.dtype), atol=1e-10, rtol=0)
    torch.testing.assert_close(z.T @ z / 199, torch.eye(6, dtype=z.dtype), atol=1e-9, rtol=0)


def test_the_leading_components_are_the_left_singular_vectors():
    x = rows()
    left, _, _ = np.linalg.svd(x.numpy() - x.numpy().mean(0), full_matrices=False)
    z = whiten(x, 3, epsilon=0).numpy()
    expected = left[:, :3] * np.sqrt(199)
    np.testing.assert_allclose(z * np.sign((z * expected).sum(0)), expected, atol=1e-9)


def test_directions_without_variance_stay_small():
    x = rows()
    flat = torch.cat([x, x[:, :2] @ torch.tensor([[1.0], [2.0]], dtype=x.dtype)], dim=1)  # rank 6 in 7 dimensions
    z = whiten(flat, 7)
    assert z[:, :6].std(0).min() > 0.9
    assert z[:, 6].abs().max() < 1e-3


def test_equal_rows_become_zeros():
    assert torch.equal(whiten(torch.full((10, 4), 3.0), 4), torch.zeros(10, 4))


def test_no_more_components_than_dimensions_and_the_type_stays():
    z = whiten(rows().float(), 64)
    assert z.shape == (200, 6)
    assert z.dtype == torch.float32
