"""Batched L-BFGS against problems whose minima are known, and against themselves one at a time."""

import numpy as np
import torch
from scipy.optimize import rosen, rosen_der

from ssl_pipelines.algorithms.lbfgs import minimize


def quadratics(count=5, dim=8):
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(count, dim, dim)) * np.logspace(0, 1, dim)
    a = torch.from_numpy(roots @ roots.transpose(0, 2, 1) + np.eye(dim))
    b = torch.from_numpy(rng.normal(size=(count, dim)))

    def objective(x, which):
        residual = torch.einsum("lij,lj->li", a[which], x) - b[which]
        loss = 0.5 * torch.einsum("li,lij,lj->l", x, a[which], x) - (b[which] * x).sum(1)
        return loss, residual, residual.abs().amax(1)

    return objective, torch.linalg.solve(a, b)


def test_finds_the_minima_of_quadratics():
    objective, minima = quadratics()
    found = minimize(objective, torch.zeros(5, 8, dtype=torch.float64), 500, 1e-9)
    assert found.converged.all()
    torch.testing.assert_close(found.point, minima, rtol=0, atol=1e-7)


def test_a_problem_does_not_notice_its_neighbors():
    objective, _ = quadratics()
    start = torch.zeros(5, 8, dtype=torch.float64)
    together = minimize(objective, start, 500, 1e-9)
    for k in range(5):
        alone = minimize(lambda x, which, k=k: objective(x, which + k), start[:1], 500, 1e-9)
        assert alone.iterations[0] == together.iterations[k]
        torch.testing.assert_close(alone.point[0], together.point[k], rtol=1e-9, atol=1e-10)


def test_steps_are_shortened_where_the_loss_would_rise():
    def objective(x, which):  # Rosenbrock's valley: full steps overshoot
        loss = torch.tensor([rosen(row) for row in x.numpy()])
        gradient = torch.from_numpy(np.stack([rosen_der(row) for row in x.numpy()]))
        return loss, gradient, gradient.abs().amax(1)

    found = minimize(objective, torch.tensor([[-1.2, 1.0, -1.2, 1.0], [3.0, -2.0, 0.0, 1.0]], dtype=torch.float64), 2000, 1e-8)
    assert found.converged.all()
    torch.testing.assert_close(found.point, torch.ones(2, 4, dtype=torch.float64), rtol=0, atol=1e-6)


def test_too_few_iterations_and_an_early_end_are_told():
    objective, _ = quadratics()
    start = torch.zeros(5, 8, dtype=torch.float64)
    short = minimize(objective, start, 3, 1e-9)
    assert not short.converged.any()
    assert short.iterations.tolist() == [3] * 5
    losses = torch.stack([minimize(objective, start, k, 1e-9).loss for k in range(6)])
    assert (losses.diff(dim=0) <= 1e-12).all()  # what is handed back is the best so far
    early = minimize(objective, start, 500, 1e-9, enough=lambda found, done: bool(done.any()))
    assert 0 < early.converged.sum() < 5
