"""Momentum copies against the closed form. He et al. 2020 (MoCo), eq. 2."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ssl_pipelines.networks.momentum import cosine_momentum, follow, frozen_copy
from ssl_pipelines.networks.norm import BatchNorm


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4, bias=False), BatchNorm(4), nn.ReLU(), nn.Linear(4, 2)).double()


def test_a_copy_is_equal_apart_and_out_of_reach_of_gradients():
    original = network()
    copied = frozen_copy(original)
    for mine, theirs in zip(copied.parameters(), original.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()
        assert not mine.requires_grad
        assert theirs.requires_grad
    with torch.no_grad():
        original[0].weight.add_(1.0)
    assert not torch.equal(copied[0].weight, original[0].weight)


def test_after_s_steps_to_constant_weights_the_distance_is_m_to_the_s():
    """w_s = m^s w_0 + (1 - m^s) w."""
    original, momentum, steps = network(), 0.9, 7
    copied = frozen_copy(original)
    start = [p.clone() for p in copied.parameters()]
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.copy_(torch.randn_like(parameter))
    for _ in range(steps):
        follow([(copied, original)], momentum)
    kept = momentum**steps
    for before, mine, theirs in zip(start, copied.parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(mine, kept * before + (1 - kept) * theirs, rtol=1e-12, atol=1e-14)


def test_following_moving_weights_equals_a_loop_over_numbers():
    original, other = network(), nn.Linear(2, 2).double()
    pairs = [(frozen_copy(original), original), (frozen_copy(other), other)]
    numbers = [[float(x) for x in p.flatten()] for copied, _ in pairs for p in copied.parameters()]
    for step in range(4):
        momentum = 0.5 + 0.1 * step
        with torch.no_grad():
            for _, theirs in pairs:
                for parameter in theirs.parameters():
                    parameter.add_(torch.randn_like(parameter))
        follow(pairs, momentum)
        targets = [[float(x) for x in p.flatten()] for _, theirs in pairs for p in theirs.parameters()]
        numbers = [
            [momentum * a + (1 - momentum) * b for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(numbers, targets, strict=True)
        ]
    found = [[float(x) for x in p.flatten()] for copied, _ in pairs for p in copied.parameters()]
    for mine, expected in zip(found, numbers, strict=True):
        assert mine == pytest.approx(expected, rel=1e-12)


def test_momentum_0_copies_bit_for_bit_and_1_stands_still():
    original = network().float()
    copied = frozen_copy(original)
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.mul_(1.7).add_(0.3)
    before = [p.clone() for p in copied.parameters()]
    follow([(copied, original)], 1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, copied.parameters(), strict=True))
    follow([(copied, original)], 0.0)
    assert all(torch.equal(a, b) for a, b in zip(copied.parameters(), original.parameters(), strict=True))


def test_the_statistics_of_batch_norms_are_their_own():
    original = network()
    copied = frozen_copy(original)
    original(torch.randn(16, 3, dtype=torch.float64))
    before = {key: value.clone() for key, value in copied.named_buffers()}
    follow([(copied, original)], 0.5)
    assert not torch.equal(original[1].running_mean, copied[1].running_mean)
    assert all(torch.equal(value, before[key]) for key, value in copied.named_buffers())


def test_nobody_to_follow_is_nothing_to_do():
    follow([], 0.0)


def test_unequal_networks_are_refused():
    with pytest.raises(ValueError, match="zip"):
        follow([(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))], 0.5)


def test_cosine_momentum_starts_where_it_is_told_ends_at_1_and_is_halfway_in_the_middle():
    assert cosine_momentum(0.99, 0) == pytest.approx(0.99)
    assert cosine_momentum(0.99, 1) == 1
    assert cosine_momentum(0.99, 0.5) == pytest.approx(0.995)
    values = [cosine_momentum(0.9, k / 10) for k in range(11)]
    assert values == sorted(values)
    assert values[3] == pytest.approx(1 - 0.1 * (math.cos(0.3 * math.pi) + 1) / 2)
