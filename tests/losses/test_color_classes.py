"""Colorization's loss against loops from the paper's equations. Zhang et al. 2016, arXiv:1603.08511, section 2.2."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import all_reduce_mean, local_rows
from ssl_pipelines.losses.color_classes import color_loss, rebalancing_weights


def problem(seed: int = 0, *, batch: int = 4, q: int = 7, k: int = 3):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(batch, q, 2, 2))
    bins = np.stack([random.permutation(q)[:k] for _ in range(batch * 4)]).reshape(batch, 2, 2, k).transpose(0, 3, 1, 2)
    codes = random.random((batch, k, 2, 2))
    codes /= codes.sum(1, keepdims=True)
    return [torch.tensor(x.copy()) for x in (logits, bins, codes, random.random(q) + 0.5)]


def oracle(logits, bins, codes, weights, counted) -> float:
    """Z as the dense distribution of the paper, its argmax as q*."""
    total, images = 0.0, 0
    for i in range(len(logits)):
        if not counted[i]:
            continue
        images += 1
        for y in range(2):
            for x in range(2):
                z = np.zeros(logits.shape[1])
                for q, part in zip(bins[i, :, y, x], codes[i, :, y, x], strict=True):
                    z[q] += part
                row = [math.exp(v) for v in logits[i, :, y, x]]
                v = weights[bins[i, 0, y, x]]
                total -= v * sum(z[q] * math.log(row[q] / sum(row)) for q in range(len(row))) / 4
    return total / images


def test_equals_the_loops():
    logits, bins, codes, weights = problem()
    counted = torch.tensor([True, False, True, True])
    expected = oracle(*(x.numpy() for x in (logits, bins, codes, weights, counted)))
    assert color_loss(logits, bins, codes, weights, counted).item() == pytest.approx(expected, rel=1e-12)


def test_an_image_that_does_not_count_has_no_gradient_and_none_at_all_gives_zero():
    logits, bins, codes, weights = problem()
    logits.requires_grad_()
    color_loss(logits, bins, codes, weights, torch.tensor([True, False, True, True])).backward()
    assert logits.grad[1].abs().max() == 0
    assert logits.grad[0].abs().max() > 0
    assert color_loss(logits, bins, codes, weights, torch.zeros(4, dtype=torch.bool)).item() == 0


def test_uniform_logits_give_the_weighted_logarithm():
    _, bins, codes, weights = problem()
    loss = color_loss(torch.zeros(4, 7, 2, 2, dtype=torch.float64), bins, codes, weights, torch.ones(4, dtype=torch.bool))
    assert loss.item() == pytest.approx(float(weights[bins[:, 0]].mean()) * math.log(7))


def on_a_rank() -> dict[str, torch.Tensor]:
    logits, bins, codes, weights = problem()
    mine = local_rows(4)
    counted = torch.tensor([True, False, False, False])[mine]  # one rank has none
    return {"loss": all_reduce_mean(color_loss(logits[mine], bins[mine], codes[mine], weights, counted))}


def test_images_are_counted_over_all_ranks(tmp_path):
    alone = on_a_rank()["loss"]
    for ours in on_ranks(on_a_rank, tmp_path):
        torch.testing.assert_close(ours["loss"], alone)


def test_weights_equal_the_equation():
    prior = torch.tensor([0.7, 0.2, 0.1, 0.0], dtype=torch.float64)
    found = rebalancing_weights(prior, 0.5).numpy()
    raw = np.array([1 / (0.5 * p + 0.5 / 4) for p in (0.7, 0.2, 0.1, 0.0)])
    np.testing.assert_allclose(found, raw / (raw * prior.numpy()).sum(), rtol=1e-12)
    assert float((prior * torch.tensor(found)).sum()) == pytest.approx(1)
    assert (np.diff(found) > 0).all(), "the rarer, the heavier"
    np.testing.assert_allclose(rebalancing_weights(prior, 1.0), np.ones(4))
