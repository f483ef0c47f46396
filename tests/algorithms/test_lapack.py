"""SciPy's factorizations on one thread, NumPy's products on all; and the probe's preconditioner makes use of it."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from ssl_pipelines.algorithms.lapack import one_lapack_thread
from ssl_pipelines.evaluation import logistic
from ssl_pipelines.evaluation.logistic import Problem, Spectrum


def threads() -> dict[str, int]:
    """NumPy's and SciPy's own copies of OpenBLAS, where they came as wheels."""
    found = [one for one in ThreadpoolController().info() if one["internal_api"] == "openblas"]
    return {name: one["num_threads"] for one in found for name in ("numpy", "scipy") if f"{name}.libs" in one["filepath"]}


@pytest.fixture
def two_threads():
    with threadpool_limits(limits=2, user_api="blas"):
        if threads() != {"numpy": 2, "scipy": 2}:
            pytest.skip("NumPy and SciPy have no libraries of their own here")
        yield


def test_scipy_alone_is_limited_and_only_within(two_threads):
    with one_lapack_thread():
        assert threads() == {"numpy": 2, "scipy": 1}
    assert threads() == {"numpy": 2, "scipy": 2}
    with pytest.raises(ZeroDivisionError), one_lapack_thread():
        1 / 0  # noqa: B018
    assert threads() == {"numpy": 2, "scipy": 2}


def test_the_preconditioner_of_many_features_is_made_with_it(two_threads, monkeypatch):
    seen, svd = [], logistic.randomized_svd
    monkeypatch.setattr(logistic, "LEADING", 4)
    monkeypatch.setattr(logistic, "randomized_svd", lambda *given, **named: (seen.append(threads()), svd(*given, **named))[1])
    rows = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    Problem(rows, np.arange(60) % 3, standardize=True)
    assert seen == [{"numpy": 2, "scipy": 1}]


def test_at_one_thread_nothing_changes(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(700, 600)).astype(np.float32)
    with threadpool_limits(limits=1, user_api="blas"):
        found = Spectrum.of(rows)
        _, scales, turned = logistic.randomized_svd(rows, 512, n_iter=2, random_state=0)
    np.testing.assert_array_equal(found.directions.numpy(), turned.T.astype(np.float64))
    np.testing.assert_array_equal(found.values.numpy(), scales.astype(np.float64) ** 2 / len(rows))
