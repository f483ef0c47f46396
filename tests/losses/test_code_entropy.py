"""KL to the uniform distribution, and how many codes are in use."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.code_entropy import codes_in_use, kl_to_uniform


def test_kl_matches_numpy():
    logits = np.random.default_rng(0).normal(size=(2, 6, 3)) * 2
    found = kl_to_uniform(torch.tensor(logits)).numpy()
    assert found.shape == (2, 3)
    for b in range(2):
        for place in range(3):
            q = np.exp(logits[b, :, place]) / np.exp(logits[b, :, place]).sum()
            assert found[b, place] == pytest.approx(sum(p * math.log(p * 6) for p in q), rel=1e-10)


def test_kl_of_one_code_and_of_all_alike():
    one = torch.full((1, 8), -1000.0)
    one[0, 3] = 1000
    assert kl_to_uniform(one).item() == pytest.approx(math.log(8))
    assert kl_to_uniform(torch.full((1, 8), 5.0)).item() == pytest.approx(0, abs=1e-6)


def test_codes_in_use():
    assert codes_in_use(torch.arange(8).view(2, 4), 16).item() == pytest.approx(8)
    assert codes_in_use(torch.zeros(3, 4, dtype=torch.int64), 16).item() == pytest.approx(1)
    assert codes_in_use(torch.tensor([0, 0, 0, 1]), 2).item() == pytest.approx(
        math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    )
