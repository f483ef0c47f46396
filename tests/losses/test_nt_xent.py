"""NT-Xent against loops in float64, and its closed forms. Chen et al. 2020, eq. 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_pipelines.losses.nt_xent import nt_xent


def oracle(z1: np.ndarray, z2: np.ndarray, temperature: float) -> float:
    rows = [*z1, *z2]
    n = len(z1)

    def similarity(i: int, k: int) -> float:
        return float(rows[i] @ rows[k] / math.sqrt((rows[i] @ rows[i]) * (rows[k] @ rows[k])))

    total = 0.0
    for i in range(2 * n):
        others = [math.exp(similarity(i, k) / temperature) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(similarity(i, (i + n) % (2 * n)) / temperature) / sum(others))
    return total / (2 * n)


def pair(rows: int, dim: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    z1, z2 = torch.randn(2, rows, dim, generator=torch.Generator().manual_seed(seed))
    return z1, z2


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("rows", [2, 7])
def test_equals_the_loops(rows, temperature):
    z1, z2 = np.random.default_rng(rows).normal(size=(2, rows, 5))
    z1 *= 3  # lengths do not matter
    found = nt_xent(torch.tensor(z1), torch.tensor(z2), temperature).item()
    assert found == pytest.approx(oracle(z1, z2, temperature), rel=2e-6)


def test_a_collapsed_embedding_costs_log_2b_minus_1():
    same = torch.ones(256, 8)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(511), rel=1e-6)


def test_one_image_costs_nothing_and_pulls_nowhere():
    z1, z2 = (z.requires_grad_() for z in pair(1, 4))
    loss = nt_xent(z1, z2, 0.5)
    loss.backward()
    assert loss.item() == 0
    assert z1.grad.abs().max() == 0


def test_a_common_rotation_changes_nothing():
    z1, z2 = pair(6, 5)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)))
    assert nt_xent(z1 @ turn, z2 @ turn, 0.2).item() == pytest.approx(nt_xent(z1, z2, 0.2).item(), rel=1e-5)


def test_the_views_may_change_places():
    z1, z2 = pair(6, 5)
    assert nt_xent(z1, z2, 0.2).item() == pytest.approx(nt_xent(z2, z1, 0.2).item(), rel=1e-6)


def test_gradients_enter_both_views_and_equal_finite_differences():
    z1, z2 = np.random.default_rng(4).normal(size=(2, 3, 4))
    views = [torch.tensor(z, dtype=torch.float32, requires_grad=True) for z in (z1, z2)]
    nt_xent(views[0], views[1], 0.5).backward()
    for which in (0, 1):
        for place in np.ndindex(3, 4):
            moved = [[z1.copy(), z2.copy()] for _ in range(2)]
            moved[0][which][place] += 1e-5
            moved[1][which][place] -= 1e-5
            slope = (oracle(*moved[0], 0.5) - oracle(*moved[1], 0.5)) / 2e-5
            assert views[which].grad[place].item() == pytest.approx(slope, abs=2e-6)


def test_low_precision_embeddings_are_compared_in_float32():
    z1, z2 = pair(8, 16)
    low = nt_xent(z1.bfloat16(), z2.bfloat16(), 0.1)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(nt_xent(z1.bfloat16().float(), z2.bfloat16().float(), 0.1).item(), rel=1e-6)


def test_under_autocast_the_product_is_not_coarse():
    z1, z2 = pair(8, 16)
    plain = nt_xent(z1, z2, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent(z1, z2, 0.1).item() == plain.item()
