"""The Gumbel relaxation against its formula in NumPy, and against the draw that it relaxes."""

from __future__ import annotations

import numpy as np
import torch

from ssl_pipelines.networks.gumbel import relaxed_one_hot


def test_it_is_the_formula():
    random = np.random.default_rng(0)
    logits, uniform = random.normal(size=(3, 5, 2)), random.uniform(size=(3, 5, 2))
    found = relaxed_one_hot(torch.tensor(logits), torch.tensor(uniform), 0.4).numpy()
    for b in range(3):
        for place in range(2):
            powers = [np.exp((logits[b, k, place] - np.log(-np.log(uniform[b, k, place]))) / 0.4) for k in range(5)]
            np.testing.assert_allclose(found[b, :, place], np.array(powers) / sum(powers), rtol=1e-10)


def test_at_a_low_temperature_it_is_a_draw_from_the_softmax():
    """Pearson's statistic with 4 degrees of freedom; above 23.5 once in 10,000 times."""
    logits, count = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5], dtype=torch.float64), 20_000
    uniform = torch.rand(count, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = relaxed_one_hot(logits.expand(count, -1), uniform, 1e-3)
    assert (draws.max(1).values > 0.999).double().mean() > 0.99
    seen, expected = draws.sum(0), count * logits.softmax(0)
    assert ((seen - expected).square() / expected).sum() < 23.5


def test_gradients_pass_softly():
    """d y_i / d l_j = y_i (delta_ij - y_j) / t: no straight-through."""
    logits = torch.randn(4, dtype=torch.float64, requires_grad=True)
    uniform = torch.rand(4, dtype=torch.float64)
    y = relaxed_one_hot(logits, uniform, 0.5, dim=0)
    jacobian = torch.stack([torch.autograd.grad(y[i], logits, retain_graph=True)[0] for i in range(4)])
    torch.testing.assert_close(jacobian, (torch.diag(y) - torch.outer(y, y)).detach() / 0.5)


def test_a_zero_among_the_uniform_numbers_is_no_fault():
    found = relaxed_one_hot(torch.zeros(1, 3), torch.tensor([[0.0, 0.3, 0.6]]), 1.0)
    assert found.isfinite().all()
    assert found[0, 0] == 0


def test_half_precision_logits_are_drawn_from_in_full():
    """Two near draws of a low temperature, which bfloat16 would call equal."""
    logits = torch.tensor([[4.0, 4.0]], dtype=torch.bfloat16)
    uniform = torch.tensor([[0.5, 0.502]])
    found = relaxed_one_hot(logits, uniform, 1 / 16)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, relaxed_one_hot(logits.float(), uniform, 1 / 16))
    assert found[0, 1] > found[0, 0]
