"""LiDAR where its value is known, and against numpy with matrix roots as the paper has them."""

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.algorithms.lidar import lidar


def planted(rank, dim, spread=1.0, noise=0.1):
    """2 rank images at +-spread on `rank` axes, each with views at +-noise on every axis: Sb has equal eigenvalues, Sw is isotropic."""
    axes = spread * torch.eye(dim, dtype=torch.float64)[:rank]
    offsets = noise * torch.eye(dim, dtype=torch.float64)
    return torch.cat([axes, -axes]).unsqueeze(1) + torch.cat([offsets, -offsets]).unsqueeze(0)


def oracle(views, delta, epsilon):
    n, q, d = views.shape
    center = views.reshape(-1, d).mean(0)
    between, within = np.zeros((d, d)), delta * np.eye(d)
    for image in views:
        mean = image.mean(0)
        between += np.outer(mean - center, mean - center) / (n - 1)
        for view in image:
            within += np.outer(view - mean, view - mean) / (n * (q - 1))
    values, vectors = np.linalg.eigh(within)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    lambdas = np.linalg.eigvalsh(root @ between @ root).clip(min=0) + epsilon
    p = lambdas / lambdas.sum()
    return math.exp(-sum(x * math.log(x) for x in p))


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_equal_directions_are_counted(rank):
    assert lidar(planted(rank, 8)) == pytest.approx(rank, rel=1e-4)


@pytest.mark.parametrize(("n", "q", "d"), [(12, 5, 6), (4, 3, 9)])
def test_equals_the_paper_in_numpy(n, q, d):
    rng = np.random.default_rng(0)
    views = rng.normal(size=(n, 1, d)) * np.arange(1, d + 1) + 0.5 * rng.normal(size=(n, q, d)) + 3
    assert lidar(torch.tensor(views), 1e-2, 1e-6) == pytest.approx(oracle(views, 1e-2, 1e-6), rel=1e-8)


def test_invertible_maps_change_nothing_without_delta():
    generator = torch.Generator().manual_seed(0)
    means, noise = (torch.randn(*shape, 5, generator=generator).double() for shape in ((30, 1), (30, 8)))
    views, turn = means + 0.3 * noise, torch.randn(5, 5, generator=generator).double()
    assert lidar(views @ turn + 7, delta=1e-13) == pytest.approx(lidar(views, delta=1e-13), rel=1e-6)


def test_classes_are_the_views_of_one_image():
    views = planted(2, 4)
    mixed = views.flatten(0, 1)[torch.randperm(4 * 8, generator=torch.Generator().manual_seed(0))].view(4, 8, 4)
    assert abs(lidar(mixed) - 2) > 0.1


def test_the_number_of_images_bounds_it():
    views = torch.randn(5, 6, 40, generator=torch.Generator().manual_seed(0))
    assert 2.5 < lidar(views) < 4 + 1e-3


def test_collapsed_is_nothing_and_not_finite_is_nan():
    assert lidar(torch.ones(6, 4, 8)) == 0
    assert lidar(1 + 1e-9 * torch.randn(6, 4, 8, dtype=torch.float64)) == 0
    assert math.isnan(lidar(torch.full((6, 4, 8), torch.nan)))
