"""Counting's loss against loops from eq. 4 of Noroozi et al. 2017, arXiv:1708.06734, and where its value is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.counting import counting_loss


def test_equals_the_loops():
    random = np.random.default_rng(0)
    whole, total, other = random.random((3, 6, 5)) * 2
    other[:3] += 3  # the hinge is off
    expected = 0.0
    for b in range(6):
        expected += sum((whole[b, k] - total[b, k]) ** 2 for k in range(5)) / 6
        expected += max(0.0, 10 - sum((other[b, k] - total[b, k]) ** 2 for k in range(5))) / 6
    assert counting_loss(*map(torch.tensor, (whole, total, other)), 10.0).item() == pytest.approx(expected, rel=1e-12)


def test_a_perfect_counter_costs_nothing_where_images_differ():
    total = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert counting_loss(total, total, total.flip(0), 10.0).item() == 0
    assert counting_loss(total, total, total.flip(0), 26.0).item() == pytest.approx(1.0)  # 25 apart


def test_counting_nothing_costs_the_margin():
    nothing = torch.zeros(4, 7)
    assert counting_loss(nothing, nothing, nothing, 10.0).item() == 10


def test_an_image_against_itself():
    whole, total = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 4.0]])  # 5 apart
    assert counting_loss(whole, total, whole, 10.0).item() == pytest.approx(5 + 5)


def test_all_three_have_gradients_and_half_precision_is_raised():
    whole, total, other = (torch.rand(3, 4).requires_grad_() for _ in range(3))
    counting_loss(whole, total, other, 10.0).backward()
    assert all(x.grad.abs().sum() > 0 for x in (whole, total, other))
    assert counting_loss(whole.half(), total.half(), other.half(), 10.0).dtype == torch.float32
