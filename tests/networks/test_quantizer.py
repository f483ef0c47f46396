"""The codebook: nearest codes by brute force, moving averages against NumPy, the straight-through gradient, revival. van den Oord et al. 2017."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from small_runs import on_ranks
from ssl_pipelines.distributed import rank
from ssl_pipelines.networks.quantizer import EPS, VectorQuantizer, perplexity, straight_through


def quantizer(codes: list[list[float]], decay: float | None = 0.9, revive_below: float = 0.0) -> VectorQuantizer:
    made = VectorQuantizer(len(codes), len(codes[0]), decay=decay, revive_below=revive_below).double()
    with torch.no_grad():
        made.codes.copy_(torch.tensor(codes, dtype=torch.float64))
    return made


def test_every_place_gets_its_nearest_code():
    rng = np.random.default_rng(0)
    codes, z = rng.normal(size=(11, 5)), rng.normal(size=(3, 5, 4, 2))
    made = quantizer(codes.tolist())
    found = made.nearest(torch.tensor(z))
    looked_up = made.look_up(found)
    for b, y, x in np.ndindex(3, 4, 2):
        k = min(range(11), key=lambda k: sum((z[b, d, y, x] - codes[k, d]) ** 2 for d in range(5)))
        assert found[b, y, x] == k
        assert torch.equal(looked_up[b, :, y, x], made.codes[k])


def test_distances_are_in_full_precision_under_autocast():
    """Two codes apart by less than bfloat16 can tell."""
    made = quantizer([[1000.0, 0.0], [1000.5, 0.0]]).float()
    z = torch.tensor([1000.4, 0.0]).view(1, 2, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert made.nearest(z).item() == 1


def test_the_gradient_passes_the_codes_straight_through():
    z = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    codes = torch.randn_like(z).requires_grad_()
    q, weight = straight_through(z, codes), torch.randn_like(z)
    torch.testing.assert_close(q, codes)
    (weight * q.sin()).sum().backward()
    torch.testing.assert_close(z.grad, weight * codes.detach().cos())  # the gradient at the codes, as if it were at z
    assert codes.grad is None


def test_moving_averages_match_numpy():
    """Two codes of two numbers, two steps, one of them without any place for the second code."""
    codes, g = np.array([[0.0, 0.0], [5.0, 5.0]]), 0.9
    made = quantizer(codes.tolist(), g)
    n, m = np.zeros(2), np.zeros((2, 2))
    for z in (np.array([[1.0, 0.0], [4.0, 6.0], [0.0, 2.0]]), np.array([[0.5, 0.5], [1.5, -1.0], [-1.0, 0.0]])):
        chosen = [min((0, 1), key=lambda k: ((row - codes[k]) ** 2).sum()) for row in z]
        count, total = np.zeros(2), np.zeros((2, 2))
        for row, k in zip(z, chosen, strict=True):
            count[k] += 1
            total[k] += row
        n, m = g * n + (1 - g) * count, g * m + (1 - g) * total
        smoothed = (n + EPS) / (n.sum() + 2 * EPS) * n.sum()
        codes = m / smoothed[:, None]
        rows = torch.tensor(z)
        made.update(rows, made.nearest(rows.T.reshape(1, 2, 3, 1)).flatten())
        np.testing.assert_allclose(made.codes.numpy(), codes, rtol=1e-12)
    np.testing.assert_allclose(made.counts.numpy(), n, rtol=1e-12)


def test_after_one_step_codes_are_the_means_of_their_places_whatever_the_decay():
    """Both averages start from zero, so the ratio is right at once: no code flies off in the first steps."""
    z = torch.tensor([[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]], dtype=torch.float64)
    for decay in (0.0, 0.5, 0.999):
        made = quantizer([[0.0, 0.0], [10.0, 10.0]], decay)
        made.update(z, torch.tensor([0, 0, 1]))
        torch.testing.assert_close(made.codes, torch.tensor([[2.0, 0.0], [9.0, 9.0]], dtype=torch.float64), rtol=1e-2, atol=0)


def test_a_code_that_nobody_ever_chose_stays():
    made = quantizer([[0.0, 0.0], [10.0, 10.0]])
    made.update(torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.int64))
    assert made.codes[1].tolist() == [10.0, 10.0]


def test_codes_out_of_use_start_anew_from_places_of_the_batch():
    torch.manual_seed(0)
    made = quantizer([[0.0, 0.0]] + [[50.0, 50.0 + k] for k in range(4)], revive_below=0.1)
    z = torch.randn(20, 2, dtype=torch.float64)
    made.update(z, torch.zeros(20, dtype=torch.int64))
    for code in made.codes[1:]:
        assert (code - z).abs().sum(1).min() < 1e-2
    assert len({tuple(code.tolist()) for code in made.codes}) == 5
    torch.testing.assert_close(made.sums, made.counts.unsqueeze(1) * made.codes, rtol=1e-4, atol=1e-4)
    before = made.codes.clone()
    made.update(z, made.nearest(z.T.reshape(1, 2, 20, 1)).flatten())
    moved = (made.codes - before).norm(dim=1)
    assert (moved < 3).all(), "a revived code is not thrown away at once"


def test_revival_can_be_left_out():
    made = quantizer([[0.0, 0.0], [50.0, 50.0]], revive_below=0.0)
    for _ in range(50):
        made.update(torch.randn(20, 2, dtype=torch.float64), torch.zeros(20, dtype=torch.int64))
    assert made.codes[1].tolist() == [50.0, 50.0]


def updated() -> dict[str, torch.Tensor]:
    made = quantizer([[0.0, 0.0], [1.0, 1.0], [50.0, 50.0]], revive_below=0.1)
    z = torch.arange(16.0, dtype=torch.float64).view(8, 2) / 16
    mine = z if torch.distributed.is_initialized() is False else z[4 * rank() : 4 * rank() + 4]
    torch.manual_seed(4)
    made.update(mine, made.nearest(mine.T.reshape(1, 2, -1, 1)).flatten())
    return made.state_dict()


def test_two_ranks_move_the_codes_as_one_process_does(tmp_path):
    alone = updated()
    for ours in on_ranks(updated, tmp_path / "ranks"):
        for key, value in alone.items():
            torch.testing.assert_close(ours[key], value)


def test_learnt_codes_are_parameters_and_get_a_gradient():
    made = quantizer([[0.0, 0.0], [1.0, 1.0]], decay=None)
    assert [name for name, _ in made.named_parameters()] == ["codes"]
    made.look_up(torch.tensor([[[0, 0, 1]]])).sum().backward()
    assert made.codes.grad.tolist() == [[2.0, 2.0], [1.0, 1.0]]


def test_perplexity_counts_codes_in_use():
    assert perplexity(torch.arange(12).view(3, 4) % 4, 8).item() == pytest.approx(4)
    assert perplexity(torch.zeros(5, dtype=torch.int64), 8).item() == pytest.approx(1)
    p = np.array([0.5, 0.25, 0.25])
    assert perplexity(torch.tensor([0, 0, 1, 2]), 3).item() == pytest.approx(np.exp(-(p * np.log(p)).sum()))
