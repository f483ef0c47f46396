"""SimMIM's loss by loops. Xie et al. 2022, section 3.5 and the authors' code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.masked_l1 import masked_l1


def make() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = (rng.random((2, 1, 4, 3)) < 0.6).astype(float)
    return rng.normal(size=(2, 3, 4, 3)), rng.normal(size=(2, 3, 4, 3)), mask


def test_the_loss_is_the_mean_over_hidden_pixels_and_channels():
    prediction, target, mask = make()
    errors = []
    for b, c, y, x in np.ndindex(*prediction.shape):
        if mask[b, 0, y, x]:
            errors.append(abs(prediction[b, c, y, x] - target[b, c, y, x]))
    found = masked_l1(*(torch.tensor(part) for part in (prediction, target, mask)))
    assert found.item() == pytest.approx(sum(errors) / len(errors), rel=1e-12)


def test_predictions_of_visible_pixels_do_not_matter():
    prediction, target, mask = (torch.tensor(part) for part in make())
    before = masked_l1(prediction, target, mask)
    assert torch.equal(masked_l1(prediction + (1 - mask) * 5, target, mask), before)
    assert not torch.equal(masked_l1(prediction + mask * 5, target, mask), before)
    assert masked_l1(target, target, mask).item() == 0
