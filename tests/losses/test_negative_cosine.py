"""The negative cosine against loops in float64. Chen & He 2021, eqs. 1 and 3."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.negative_cosine import negative_cosine


def test_equals_the_loops():
    p, z = np.random.default_rng(0).normal(size=(2, 7, 5))
    oracle = -np.mean([a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(p, z, strict=True)])
    assert negative_cosine(torch.tensor(p), torch.tensor(z)).item() == pytest.approx(oracle, rel=1e-12)


def test_no_gradient_enters_the_target_and_that_of_the_prediction_is_tangential():
    p, z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    p.retain_grad()
    z.retain_grad()
    negative_cosine(p, z).backward()
    assert z.grad is None
    assert (p.grad * p).sum(1).abs().max() < 1e-12
    assert p.grad.abs().max() > 0


def test_its_ends():
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert negative_cosine(3 * z, z).item() == pytest.approx(-1)
    assert negative_cosine(-z, z).item() == pytest.approx(1)
    assert negative_cosine(torch.zeros_like(z), z).item() == 0


def test_lightly_agrees():
    lightly = pytest.importorskip("lightly.loss")
    p, z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    assert negative_cosine(p, z).item() == pytest.approx(lightly.NegativeCosineSimilarity()(p, z).item(), rel=1e-6)


def test_autocast_does_not_make_it_coarse():
    p, z = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(0))
    plain = negative_cosine(p, z)
    with torch.autocast("cpu", torch.bfloat16):
        assert negative_cosine(p, z).item() == plain.item()
