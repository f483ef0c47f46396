"""The memory bank against loops. Wu et al. 2018 (InstDisc), section 3, and the authors' initialization."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import kstest

from small_runs import on_ranks
from ssl_pipelines.distributed import local_rows, world_size
from ssl_pipelines.networks import bank as module
from ssl_pipelines.networks.bank import MemoryBank


def unit(rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1)


def bank(size: int, dim: int, momentum: float) -> MemoryBank:
    torch.manual_seed(0)
    return MemoryBank(size, dim, momentum).double()


def test_rows_are_uniform_at_first_with_norm_about_1():
    rows, bound = bank(4000, 128, 0.5).rows, math.sqrt(3 / 128)
    assert kstest(rows.flatten().numpy()[:20000], "uniform", args=(-bound, 2 * bound)).pvalue > 1e-3
    assert rows.square().sum(1).mean().item() == pytest.approx(1, abs=0.01)


def test_the_constant_of_a_random_bank_is_the_integral_over_the_sphere():
    """mean of exp(<v, u> / t) over unit u = 0F1(; d/2; 1 / (4 t^2)): 2.209 at d = 128, t = 0.07; uniform rows come near it."""
    from scipy.special import hyp0f1

    closed = float(hyp0f1(64, 1 / (4 * 0.07**2)))
    assert closed == pytest.approx(2.209, abs=1e-3)
    found = (unit(64, 128) @ bank(50000, 128, 0.5).rows.T / 0.07).exp().mean().item()
    assert found == pytest.approx(closed, rel=0.03)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_row_is_the_normalized_moving_average_of_what_it_was_given(momentum):
    held, given = bank(9, 4, momentum), [unit(3, 4, seed) for seed in (1, 2)]
    ids = torch.tensor([7, 0, 4])
    expected = held.rows.numpy().copy()
    for z in given:
        held.update(ids, z)
        for row, i in zip(z.numpy(), ids.tolist(), strict=True):
            mixed = [momentum * a + (1 - momentum) * b for a, b in zip(expected[i], row, strict=True)]
            expected[i] = np.array(mixed) / math.sqrt(sum(x * x for x in mixed))
    np.testing.assert_allclose(held.rows.numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dense", [True, False])
def test_scores_are_inner_products_with_the_rows_asked_for(dense, monkeypatch):
    monkeypatch.setattr(module, "DENSE_UP_TO", 10**9 if dense else 0)
    held, z = bank(11, 4, 0.5), unit(3, 4).requires_grad_()
    ids = torch.tensor([[0, 3, 3, 10, 5], [1, 1, 1, 1, 2], [9, 8, 7, 6, 0]])
    scores = held.scores(z, ids)
    for b in range(3):
        for m in range(5):
            by_hand = sum(float(z[b, d]) * float(held.rows[ids[b, m], d]) for d in range(4))
            assert scores[b, m].item() == pytest.approx(by_hand, rel=1e-12)
    scores[1, 0].backward()
    torch.testing.assert_close(z.grad[1], held.rows[1])
    assert z.grad[[0, 2]].abs().max() == 0
    assert not held.rows.requires_grad
    torch.testing.assert_close(held.positives(z, ids[:, 0]), scores[:, 0])


def test_draws_are_uniform_over_the_bank():
    counts = torch.bincount(bank(10, 4, 0.5).draw(100, 200).flatten(), minlength=10)
    assert len(counts) == 10
    assert ((counts - 2000) ** 2 / 2000).sum() < 33.7  # chi-squared, 9 degrees of freedom: p = 1e-4


def written() -> dict[str, torch.Tensor]:
    held = bank(12, 4, 0.5)
    torch.manual_seed(5)
    drawn = []
    for step in range(3):
        drawn.append(held.draw(6 // world_size(), 7))
        ids = torch.randperm(12, generator=torch.Generator().manual_seed(step))[:6]
        held.update(ids[local_rows(6)], unit(6, 4, step)[local_rows(6)])
    return {"rows": held.rows, "drawn": torch.stack(drawn)}


def test_two_ranks_write_what_one_process_writes_and_draw_its_rows(tmp_path):
    alone, ranks = written(), on_ranks(written, tmp_path / "ranks")
    for found in ranks:
        assert torch.equal(found["rows"], alone["rows"])
    assert torch.equal(torch.cat([found["drawn"] for found in ranks], 1), alone["drawn"])
