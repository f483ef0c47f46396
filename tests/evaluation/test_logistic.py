"""The logistic regression against scikit-learn, its own optimality, and the limits that are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ssl_pipelines.evaluation import logistic
from ssl_pipelines.evaluation.logistic import Problem


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = rng.choice([1, 4, 5], 300, p=[0.5, 0.3, 0.2])
    x = (rng.normal(size=(300, 7)) + 0.8 * rng.normal(size=(6, 7))[y]) * np.logspace(-1, 1, 7) + 2
    return x, y


def loss_and_gradient(x, y, classes, weight, bias, l2):
    """Loops on purpose: shares no line with the code."""
    loss, to_weight, to_bias = 0.0, np.zeros_like(weight), np.zeros_like(bias)
    for row, label in zip(x, y, strict=True):
        logits = row @ weight + bias
        p = np.exp(logits - logits.max())
        p /= p.sum()
        k = list(classes).index(label)
        loss -= np.log(p[k])
        p[k] -= 1
        to_weight += np.outer(row, p)
        to_bias += p
    return (loss + l2 / 2 * (weight**2).sum()) / len(x), (to_weight + l2 * weight) / len(x), to_bias / len(x)


@pytest.mark.parametrize("l2", [1e-2, 1.0, 300.0])
@pytest.mark.parametrize("cells", [1, 2**19])
def test_matches_scikit_learn(data, monkeypatch, l2, cells):
    monkeypatch.setattr(logistic, "CELLS", cells)  # 64 rows a block, or all at once
    x, y = data
    ours = Problem(x, y, standardize=False).solve(l2, None, 5000, 1e-8)
    theirs = LogisticRegression(C=1 / l2, tol=1e-10, solver="newton-cholesky").fit(x, y)
    centered = theirs.coef_.T - theirs.coef_.T.mean(1, keepdims=True)
    assert ours.converged
    np.testing.assert_allclose(ours.weight.numpy() - ours.weight.numpy().mean(1, keepdims=True), centered, atol=2e-6)
    np.testing.assert_allclose(
        ours.bias.numpy() - ours.bias.numpy().mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-5
    )
    assert np.array_equal(ours.predict(x), theirs.predict(x))
    assert ours.loss == pytest.approx(loss_and_gradient(x, y, theirs.classes_, theirs.coef_.T, theirs.intercept_, l2)[0], rel=1e-9)


def test_standardizing_is_the_same_as_scaled_features(data):
    x, y = data
    scaler = StandardScaler().fit(x)
    ours = Problem(x, y, standardize=True).solve(5.0, None, 5000, 1e-8)
    theirs = LogisticRegression(C=1 / 5.0, tol=1e-10, solver="newton-cholesky").fit(scaler.transform(x), y)
    coefficients = ours.weight.numpy() * scaler.scale_[:, None]
    np.testing.assert_allclose(
        coefficients - coefficients.mean(1, keepdims=True), (theirs.coef_ - theirs.coef_.mean(0)).T, atol=2e-6
    )
    assert np.array_equal(ours.predict(x), theirs.predict(scaler.transform(x)))


def test_gradient_vanishes_at_the_optimum(data):
    x, y = data
    found = Problem(x, y, standardize=False).solve(0.3, None, 5000, 1e-8)
    loss, to_weight, to_bias = loss_and_gradient(x, y, found.classes.numpy(), found.weight.numpy(), found.bias.numpy(), 0.3)
    assert found.loss == pytest.approx(loss, rel=1e-12)
    assert max(np.abs(to_weight).max(), np.abs(to_bias).max()) < 1e-7
    nudged = loss_and_gradient(x, y, found.classes.numpy(), found.weight.numpy() + 1e-3, found.bias.numpy(), 0.3)
    assert nudged[0] > loss


def test_huge_regularization_leaves_the_class_prior(data):
    x, y = data
    found = Problem(x, y, standardize=True).solve(1e12, None, 5000, 1e-8)
    assert found.weight.abs().max() < 1e-8
    shares = np.bincount(y)[[1, 4, 5]] / len(y)
    p = np.exp(found.bias.numpy())
    np.testing.assert_allclose(p / p.sum(), shares, atol=1e-6)


def test_rotations_change_nothing_without_standardization(data):
    x, y = data
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(7, 7)))[0]
    plain, turned = (Problem(z, y, standardize=False).solve(2.0, None, 5000, 1e-8) for z in (x, x @ q))
    assert turned.loss == pytest.approx(plain.loss, rel=1e-10)
    np.testing.assert_allclose(
        x @ q @ turned.weight.numpy() + turned.bias.numpy(), x @ plain.weight.numpy() + plain.bias.numpy(), atol=1e-5
    )


def test_start_and_memory_layout_do_not_move_the_optimum(data):
    x, y = data
    problem = Problem(x[:, ::-1].astype(np.float32), y, standardize=True)
    cold = problem.solve(0.5, None, 5000, 1e-8)
    warm = problem.solve(0.5, problem.solve(100.0, None, 5000), 5000, 1e-8)
    np.testing.assert_allclose(warm.weight.numpy(), cold.weight.numpy(), atol=1e-6)
    again = problem.solve(0.5, cold, 5000, 1e-7)
    assert again.iterations <= 1  # a solution is recognized as one


def test_a_borrowed_preconditioner_does_not_move_the_optimum(data):
    x, y = data
    own = Problem(x, y, standardize=True)
    borrowed = Problem(x, y, standardize=True, spectrum=Problem(x[::3], y[::3], standardize=True).spectrum)
    assert not np.allclose(own.spectrum.values, borrowed.spectrum.values)
    pair = [problem.solve(0.5, None, 5000, 1e-8).weight.numpy() for problem in (own, borrowed)]
    np.testing.assert_allclose(pair[0], pair[1], atol=1e-5)


def test_too_few_iterations_are_told(data):
    x, y = data
    assert not Problem(x, y, standardize=True).solve(1e-3, None, 2).converged


def test_constant_and_repeated_features_do_no_harm():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 3))
    y = (x[:, 0] > 0).astype(int)
    wide = np.concatenate([x, x, np.full((60, 2), 1e4)], axis=1)
    found = Problem(wide, y, standardize=True).solve(0.1, None, 2000)
    assert found.converged
    assert (found.predict(wide) == y).mean() > 0.95


def test_a_path_solved_together_is_each_value_alone(data, monkeypatch):
    x, y = data
    problem, l2s = Problem(x, y, standardize=True), [100.0, 1.0, 1e-2]
    alone = [problem.solve(l2, None, 5000, 1e-8) for l2 in l2s]
    for state in (logistic.STATE, 1):  # all together, or one after the other
        monkeypatch.setattr(logistic, "STATE", state)
        for found, expected in zip(problem.path(l2s, 5000, 1e-8), alone, strict=True):
            assert found.converged
            np.testing.assert_allclose(found.weight.numpy(), expected.weight.numpy(), rtol=1e-6, atol=1e-7)


def test_float32_products_reach_the_optimum_to_their_precision(data):
    x, y = data
    problem = Problem(x.astype(np.float32), y, standardize=True)
    for l2, found in zip((30.0, 0.1), problem.path([30.0, 0.1], 500, 1e-4, dtype=torch.float32), strict=True):
        exact = problem.solve(l2, None, 5000, 1e-9)
        assert found.converged
        assert found.loss == pytest.approx(exact.loss, rel=1e-5)


def test_a_path_may_end_early(data):
    x, y = data
    seen = []

    def enough(solved):
        seen.append(len(solved))
        return 0 in solved

    found = Problem(x, y, standardize=True).path([1e4, 1e-4], 5000, 1e-8, enough=enough)
    assert [solution is None for solution in found] == [False, True]
    assert seen == sorted(seen)


def test_more_features_than_directions_change_no_optimum(data, monkeypatch):
    x, y = data
    exact = Problem(x, y, standardize=True).solve(0.5, None, 5000, 1e-8)
    monkeypatch.setattr(logistic, "LEADING", 2)
    problem = Problem(x, y, standardize=True)
    assert problem.spectrum.directions.shape == (7, 2)
    assert problem.spectrum.rest > 0
    found = problem.solve(0.5, None, 5000, 1e-8)
    assert found.converged
    np.testing.assert_allclose(found.weight.numpy(), exact.weight.numpy(), atol=1e-5)
    assert problem.solve(0.5, found, 5000, 1e-7).iterations <= 1


def test_fewer_rows_than_features_and_a_preconditioner_of_fewer_still():
    rng = np.random.default_rng(3)
    y = np.arange(40) % 3
    x = rng.normal(size=(40, 60)) + 0.5 * np.eye(3, 60)[y]
    few = replace(Problem(x[:20], y[:20], standardize=True).spectrum, rest=0.0)
    assert few.directions.shape[1] < 40  # what lies outside of it must be reached too
    own, borrowed = (Problem(x, y, standardize=True, spectrum=spectrum).solve(3.0, None, 5000, 1e-8) for spectrum in (None, few))
    theirs = LogisticRegression(C=1 / 3, tol=1e-10, solver="newton-cholesky").fit(StandardScaler().fit_transform(x), y)
    coefficients = (theirs.coef_ - theirs.coef_.mean(0)).T
    for found in (own, borrowed):
        assert found.converged
        weight = found.weight.numpy() * x.std(0)[:, None]
        np.testing.assert_allclose(weight - weight.mean(1, keepdims=True), coefficients, atol=1e-5)
