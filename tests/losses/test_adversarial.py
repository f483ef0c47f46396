"""The adversarial losses against NumPy in float64. Goodfellow et al. 2014."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.adversarial import critic_loss, fooling_loss


def test_both_sides_match_numpy():
    real, fake = np.random.default_rng(0).normal(0, 2, size=(2, 7))
    d_real, d_fake = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
    oracle = -(np.mean([math.log(p) for p in d_real]) + np.mean([math.log(1 - p) for p in d_fake])) / 2
    assert critic_loss(torch.tensor(real[:, None]), torch.tensor(fake[:, None])).item() == pytest.approx(oracle, rel=1e-12)
    assert fooling_loss(torch.tensor(fake[:, None])).item() == pytest.approx(-np.mean([math.log(p) for p in d_fake]), rel=1e-12)


def test_an_undecided_critic_pays_log_two_and_a_sure_one_leaves_the_painter_its_gradient():
    zero = torch.zeros(3, 1)
    assert critic_loss(zero, zero).item() == pytest.approx(math.log(2))
    assert fooling_loss(zero).item() == pytest.approx(math.log(2))
    seen_through = torch.full((1, 1), -20.0, requires_grad=True)
    fooling_loss(seen_through).backward()
    assert seen_through.grad.item() == pytest.approx(-1, abs=1e-6)  # log(1 - D) would leave exp(-20)
