"""Local aggregation against sets of ids in float64. Zhuang et al. 2019, eqs. 5 and 6."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.local_aggregation import EPSILON, local_aggregation


def test_equals_the_sets():
    random = np.random.default_rng(0)
    bank, v = random.normal(size=(30, 4)), random.normal(size=(5, 4))
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    t, total, scores, close = 0.3, 0.0, [], []
    for image in v:
        density = {j: math.exp(float(image @ bank[j]) / t) for j in range(30)}
        background = {int(j) for j in np.argsort(-(bank @ image))[:8]}
        clustered = {int(j) for j in random.permutation(30)[:15]} | {max(background)}
        total -= math.log(sum(density[j] for j in background & clustered) / sum(density[j] for j in background) + EPSILON)
        order = sorted(background)
        scores.append([float(image @ bank[j]) for j in order])
        close.append([j in clustered for j in order])
    found = local_aggregation(torch.tensor(scores, dtype=torch.float64), torch.tensor(close), t)
    assert found.item() == pytest.approx(total / 5, rel=1e-12)


def test_one_cluster_of_all_costs_nothing():
    scores = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert local_aggregation(scores, torch.ones(4, 9, dtype=torch.bool), 0.07).item() == pytest.approx(0, abs=2e-7)


def test_alone_in_its_cluster_an_image_is_told_from_its_background():
    scores = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own = torch.arange(4)
    close = torch.nn.functional.one_hot(own, 9).bool()
    expected = torch.nn.functional.cross_entropy(scores / 0.5, own).item()
    assert local_aggregation(scores, close, 0.5).item() == pytest.approx(expected, rel=1e-4)


def test_without_a_close_neighbor_it_is_large_and_pulls_nowhere():
    scores = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = local_aggregation(scores, torch.zeros(3, 5, dtype=torch.bool), 0.07)
    loss.backward()
    assert loss.item() == pytest.approx(16.118, abs=1e-3)
    assert torch.equal(scores.grad, torch.zeros(3, 5))


def test_the_normalizer_cancels():
    scores = torch.randn(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    close = scores > 0
    assert local_aggregation(scores + 2.5, close, 0.2).item() == pytest.approx(
        local_aggregation(scores, close, 0.2).item(), rel=1e-12
    )
