"""Sinkhorn against exact marginals and an optimal-transport solver in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, minimize

from small_runs import on_ranks
from ssl_pipelines.algorithms.sinkhorn import sinkhorn
from ssl_pipelines.distributed import local_rows


def scores(b: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(b, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def transport(s: np.ndarray, epsilon: float) -> np.ndarray:
    """argmax <Q, S> + eps H(Q) with rows 1 / B and columns 1 / K, times B; by its smooth dual, not by scaling."""
    b, k = s.shape

    def plan(dual: np.ndarray) -> np.ndarray:
        return np.exp((s + dual[:b, None] + dual[None, b:]) / epsilon)

    def value(dual: np.ndarray) -> tuple[float, np.ndarray]:
        q = plan(dual)
        gradient = np.concatenate([q.sum(1) - 1 / b, q.sum(0) - 1 / k])
        return epsilon * q.sum() - dual[:b].mean() - dual[b:].mean(), gradient

    found = minimize(value, np.full(b + k, -0.5), jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 5000})
    return b * plan(found.x)


@pytest.mark.parametrize(("b", "k"), [(12, 5), (5, 12), (7, 7)])
def test_after_many_rounds_both_marginals_are_exact(b, k):
    q = sinkhorn(scores(b, k), 0.1, 200)
    torch.testing.assert_close(q.sum(1), torch.ones(b, dtype=q.dtype), rtol=1e-12, atol=0)
    torch.testing.assert_close(q.sum(0), torch.full((k,), b / k, dtype=q.dtype), rtol=1e-6, atol=0)


def test_three_rounds_leave_every_row_a_distribution():
    q = sinkhorn(scores(64, 10).float(), 0.05, 3)
    torch.testing.assert_close(q.sum(1), torch.ones(64), rtol=1e-5, atol=0)
    assert (q >= 0).all()


def test_equal_scores_are_shared_alike():
    torch.testing.assert_close(sinkhorn(torch.full((6, 4), 0.3), 0.05, 3), torch.full((6, 4), 0.25))


def test_equals_a_transport_solver():
    s = scores(5, 5, seed=3)
    np.testing.assert_allclose(sinkhorn(s, 0.2, 2000).numpy(), transport(s.numpy(), 0.2), atol=1e-7)


def test_at_small_epsilon_it_is_the_best_assignment():
    s = scores(5, 5, seed=4)
    rows, columns = linear_sum_assignment(s.numpy(), maximize=True)
    assert sinkhorn(s, 0.01, 5000).argmax(1).tolist() == columns[rows].tolist()


def test_the_narrowest_epsilon_that_is_allowed_stays_finite_in_float32():
    s = torch.tensor([[1.0, -1.0], [1.0, -1.0], [-1.0, -1.0]])
    q = sinkhorn(s, 0.025, 50)
    assert q.isfinite().all()
    torch.testing.assert_close(q.sum(1), torch.ones(3))


def test_half_precision_is_computed_in_float32():
    low = scores(16, 8).bfloat16()
    q = sinkhorn(low, 0.05, 3)
    assert q.dtype == torch.float32
    assert torch.equal(q, sinkhorn(low.float(), 0.05, 3))


def test_no_gradient_enters():
    assert not sinkhorn(scores(4, 3).requires_grad_(), 0.05, 3).requires_grad


def on_this_rank() -> dict[str, torch.Tensor]:
    s = scores(8, 5, seed=9)
    s[6] += 3  # the largest score of all is another rank's
    return {"codes": sinkhorn(s[local_rows(8)], 0.3, 3)}


def test_two_ranks_equal_one_process(tmp_path):
    ranks = on_ranks(on_this_rank, tmp_path / "ranks")
    torch.testing.assert_close(torch.cat([found["codes"] for found in ranks]), on_this_rank()["codes"], rtol=1e-12, atol=1e-15)
