"""The masked autoencoder's target and loss against loops in float64. He et al. 2022, section 3 and the authors' code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.masked_pixels import masked_patch_loss, normalize_patches


def test_patches_are_normalized_by_their_unbiased_variance():
    patches = np.random.default_rng(0).normal(2, 3, size=(2, 3, 12))
    found = normalize_patches(torch.tensor(patches)).numpy()
    for b in range(2):
        for t in range(3):
            values = patches[b, t].tolist()
            mean = sum(values) / 12
            variance = sum((v - mean) ** 2 for v in values) / 11
            assert found[b, t] == pytest.approx([(v - mean) / math.sqrt(variance + 1e-6) for v in values], rel=1e-9)


def test_a_flat_patch_becomes_zero():
    assert normalize_patches(torch.full((1, 2, 12), 0.7)).abs().max() < 1e-3


def make(seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.array([[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1]], dtype=float)
    return rng.normal(size=(3, 4, 6)), rng.normal(size=(3, 4, 6)), mask


def test_the_loss_is_the_mean_over_masked_patches():
    prediction, target, mask = make()
    errors = []
    for b in range(3):
        for t in range(4):
            if mask[b, t]:
                errors.append(sum((prediction[b, t, d] - target[b, t, d]) ** 2 for d in range(6)) / 6)
    found = masked_patch_loss(*(torch.tensor(x) for x in (prediction, target, mask)))
    assert found.item() == pytest.approx(sum(errors) / len(errors), rel=1e-6)


def test_visible_places_have_no_gradient_and_masked_ones_have_all_of_it():
    prediction, target, mask = (torch.tensor(x, dtype=torch.float32) for x in make())
    prediction.requires_grad_()
    masked_patch_loss(prediction, target, mask).backward()
    assert prediction.grad[mask == 0].abs().max() == 0
    expected = 2 * (prediction.detach() - target) / 6 / mask.sum()
    torch.testing.assert_close(prediction.grad[mask == 1], expected[mask == 1])


def test_a_perfect_prediction_costs_nothing():
    prediction, _, mask = (torch.tensor(x) for x in make())
    assert masked_patch_loss(prediction, prediction, mask).item() == 0
