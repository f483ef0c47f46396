"""SwAV's and DINO's losses against loops in float64, and lightly's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from small_runs import on_ranks
from ssl_pipelines.algorithms.sinkhorn import sinkhorn
from ssl_pipelines.distributed import all_reduce_mean, local_rows, world_size
from ssl_pipelines.losses.dino import batch_center, dino, teacher_probabilities
from ssl_pipelines.losses.swapped_prediction import swapped_prediction

A, V, B, K = 2, 5, 6, 7


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def softmax(row: np.ndarray) -> np.ndarray:
    e = np.exp(row - row.max())
    return e / e.sum()


def codes(seed: int = 1) -> np.ndarray:
    return np.apply_along_axis(softmax, 2, 2 * drawn(A, B, K, seed=seed))


def swav_loops(q: np.ndarray, s: np.ndarray, t: float) -> float:
    total = 0.0
    for a in range(len(q)):
        others = [v for v in range(len(s)) if v != a]
        for v in others:
            for b in range(s.shape[1]):
                total -= sum(q[a, b, k] * math.log(softmax(s[v, b] / t)[k]) for k in range(s.shape[2])) / (len(others) * s.shape[1])
    return total / len(q)


def dino_loops(student: np.ndarray, teacher: np.ndarray, center: np.ndarray, ts: float, tt: float) -> float:
    pairs, total = 0, 0.0
    for q in range(len(teacher)):
        for v in range(len(student)):
            if q == v:
                continue
            pairs += 1
            for b in range(student.shape[1]):
                target, guess = softmax((teacher[q, b] - center) / tt), softmax(student[v, b] / ts)
                total += float(-(target * np.log(guess)).sum()) / student.shape[1]
    assert pairs == len(teacher) * (len(student) - 1)
    return total / pairs


@pytest.mark.parametrize("views", [2, V])
def test_swav_equals_the_loops(views):
    q, s = codes(), drawn(views, B, K)
    assert swapped_prediction(torch.tensor(q), torch.tensor(s), 0.3).item() == pytest.approx(swav_loops(q, s, 0.3), rel=1e-12)


def test_uniform_codes_at_equal_scores_cost_log_k():
    assert swapped_prediction(torch.full((2, 4, 9), 1 / 9), torch.zeros(3, 4, 9), 0.1).item() == pytest.approx(
        math.log(9), rel=1e-6
    )


def test_no_view_is_asked_for_its_own_code():
    """Two views: what view 0 scores meets the code of view 1 alone."""
    q, s = torch.tensor(codes()), torch.tensor(drawn(2, B, K), requires_grad=True)
    other = q.clone()
    other[0] = other[0].flip(1)
    gradients = [torch.autograd.grad(swapped_prediction(target, s, 0.2), s)[0] for target in (q, other)]
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not torch.equal(gradients[0][1], gradients[1][1])


def test_no_gradient_enters_the_codes():
    q = torch.tensor(codes(), requires_grad=True)
    s = torch.tensor(drawn(V, B, K), requires_grad=True)
    swapped_prediction(q, s, 0.1).backward()
    assert q.grad is None
    assert s.grad.abs().max() > 0


def test_lightly_agrees_on_swav():
    theirs = pytest.importorskip("lightly.loss").SwaVLoss(temperature=0.1, sinkhorn_iterations=3, sinkhorn_epsilon=0.05)
    s = torch.tensor(np.tanh(drawn(V, B, K)))
    expected = theirs([*s[:A]], [*s[A:]]).item()
    q = torch.stack([sinkhorn(s[a], 0.05, 3) for a in range(A)])
    assert swapped_prediction(q, s, 0.1).item() == pytest.approx(expected, rel=1e-6)


def test_dino_equals_the_loops():
    s, t, c = drawn(V, B, K), drawn(A, B, K, seed=2), drawn(K, seed=3)
    found = dino(torch.tensor(s), torch.tensor(t), torch.tensor(c), 0.3, 0.2).item()
    assert found == pytest.approx(dino_loops(s, t, c, 0.3, 0.2), rel=1e-12)


def test_a_student_equal_to_its_teacher_costs_the_entropy():
    t = torch.tensor(drawn(1, B, K)).expand(2, B, K)
    p = teacher_probabilities(t, torch.zeros(K), 0.2)
    entropy = -(p * p.log()).sum(2).mean().item()
    assert dino(t, t, torch.zeros(K), 0.2, 0.2).item() == pytest.approx(entropy, rel=1e-12)


def test_a_shift_of_all_teacher_logits_is_taken_back_by_the_center():
    s, t, shift = torch.tensor(drawn(V, B, K)), torch.tensor(drawn(A, B, K, seed=2)), torch.tensor(drawn(K, seed=4))
    assert dino(s, t + shift, shift, 0.1, 0.05).item() == pytest.approx(dino(s, t, torch.zeros(K), 0.1, 0.05).item(), rel=1e-10)


def test_the_student_alone_learns_and_is_not_centered():
    s, t = torch.tensor(drawn(V, B, K), requires_grad=True), torch.tensor(drawn(A, B, K, seed=2), requires_grad=True)
    dino(s, t, torch.zeros(K), 0.1, 0.05).backward()
    assert t.grad is None
    assert s.grad[0].abs().max() > 0, "the first large crop follows the second's teacher"


def test_lightly_agrees_on_dino_and_its_center():
    theirs = pytest.importorskip("lightly.loss").DINOLoss(output_dim=K, student_temp=0.1, center_momentum=0.9)
    s, t = torch.tensor(drawn(V, B, K)).float(), torch.tensor(drawn(A, B, K, seed=2)).float()
    expected = theirs([*t], [*s], teacher_temp=0.05).item()
    assert dino(s, t, torch.zeros(K), 0.1, 0.05).item() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(0.1 * batch_center(t), theirs.center.flatten())


def on_this_rank() -> dict[str, torch.Tensor]:
    s, t, q = (torch.tensor(x)[:, local_rows(B)] for x in (drawn(V, B, K), drawn(A, B, K, seed=2), codes()))
    s = s.clone().requires_grad_()
    found = {"center": batch_center(t)}
    for name, loss in (("swav", swapped_prediction(q, s, 0.1)), ("dino", dino(s, t, found["center"], 0.1, 0.05))):
        found |= {name: all_reduce_mean(loss.detach()), f"{name}_gradient": torch.autograd.grad(loss, s)[0] / world_size()}
    return found


def test_two_ranks_equal_one_process(tmp_path):
    alone, ranks = on_this_rank(), on_ranks(on_this_rank, tmp_path / "ranks")
    for name in ("swav", "dino", "center"):
        for found in ranks:
            torch.testing.assert_close(found[name], alone[name], rtol=1e-12, atol=1e-14)
    for name in ("swav_gradient", "dino_gradient"):
        torch.testing.assert_close(torch.cat([found[name] for found in ranks], 1), alone[name], rtol=1e-12, atol=1e-14)
