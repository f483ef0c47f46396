"""InfoNCE over a grid against brute-force labels and loops. van den Oord et al. 2018, eq. 4."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.grid_nce import grid_nce


def oracle(predicted: np.ndarray, targets: np.ndarray, k: int) -> tuple[float, float]:
    b, _, h, w = targets.shape
    losses, right = [], []
    for image in range(b):
        for row in range(h - k):
            for column in range(w):
                guess = predicted[image, :, row, column]
                scores = {
                    (i, r, c): sum(guess[d] * targets[i, d, r, c] for d in range(len(guess)))
                    for i in range(b)
                    for r in range(h)
                    for c in range(w)
                }
                true = (image, row + k, column)
                losses.append(math.log(sum(math.exp(s) for s in scores.values())) - scores[true])
                right.append(max(scores, key=scores.get) == true)
    return float(np.mean(losses)), float(np.mean(right))


@pytest.mark.parametrize("k", [1, 2])
def test_equals_the_loops_at_two_images_of_three_by_three(k):
    random = np.random.default_rng(k)
    targets, predicted = random.normal(size=(2, 4, 3, 3)), random.normal(size=(2, 4, 3 - k, 3))
    loss, accuracy = grid_nce(torch.tensor(predicted), torch.tensor(targets), k)
    expected = oracle(predicted, targets, k)
    assert loss.item() == pytest.approx(expected[0], rel=1e-12)
    assert accuracy.item() == pytest.approx(expected[1])


def test_uniform_scores_cost_the_logarithm_of_the_candidates():
    loss, _ = grid_nce(torch.zeros(3, 8, 3, 5), torch.randn(3, 8, 5, 5), 2)
    assert loss.item() == pytest.approx(math.log(3 * 5 * 5), rel=1e-6)


def test_a_perfect_prediction_is_right_everywhere():
    targets = 20 * torch.eye(2 * 4 * 4).view(2, 4, 4, -1).permute(0, 3, 1, 2)  # orthogonal
    loss, accuracy = grid_nce(targets[:, :, 2:], targets, 2)
    assert accuracy.item() == 1
    assert loss.item() < 1e-6
    _, accuracy = grid_nce(targets[:, :, 1:3], targets, 2)  # the overlapping row
    assert accuracy.item() == 0


def test_lengths_count():
    """No normalization: twice the length is another loss."""
    predicted, targets = torch.randn(2, 4, 2, 4), torch.randn(2, 4, 4, 4)
    assert grid_nce(2 * predicted, targets, 2)[0] != grid_nce(predicted, targets, 2)[0]
