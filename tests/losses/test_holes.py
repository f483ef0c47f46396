"""The error inside holes against loops. Pathak et al. 2016, eq. 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.holes import hole_error


def make():
    rng = np.random.default_rng(0)
    weight = np.zeros((2, 1, 4, 4))
    weight[0, 0, 1:3, 1:3] = 1
    weight[0, 0, 0, 0] = 10  # a rim's
    weight[1, 0, 3, 1:] = 1
    return rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 4)), weight


def test_it_is_the_weighted_mean_over_each_images_own_hole():
    prediction, target, weight = make()
    each = []
    for b in range(2):
        errors, count = 0.0, 0
        for y in range(4):
            for x in range(4):
                if weight[b, 0, y, x]:
                    count += 1
                    errors += weight[b, 0, y, x] * sum((prediction[b, c, y, x] - target[b, c, y, x]) ** 2 for c in range(3)) / 3
        each.append(errors / count)
    found = hole_error(*(torch.tensor(value) for value in (prediction, target, weight)))
    assert found.item() == pytest.approx(np.mean(each), rel=1e-12)


def test_pixels_outside_have_no_gradient_and_pixels_inside_have():
    prediction, target, weight = (torch.tensor(value) for value in make())
    prediction.requires_grad_()
    hole_error(prediction, target, weight).backward()
    inside = (weight > 0).expand_as(prediction)
    assert (prediction.grad[~inside] == 0).all()
    assert (prediction.grad[inside] != 0).all()
