"""Bootstrap samples as they are drawn one by one, and their spread where theory knows it."""

import numpy as np
import pytest

from ssl_pipelines.algorithms.bootstrap import (
    interval,
    pair_mean,
    resampled_means,
    resampled_over_both,
    resampled_pair_means,
    resamples,
)


def test_samples_draw_every_time_as_many_as_there_are():
    counts = resamples(12, np.random.default_rng(0), draws=400)
    assert counts.shape == (400, 12)
    assert (counts.sum(1) == 12).all()
    assert counts.mean(0) == pytest.approx(np.ones(12), abs=0.25)


def test_means_are_those_of_the_images_drawn():
    rng = np.random.default_rng(1)
    values, counts = rng.normal(size=9), resamples(9, rng, draws=5)
    for found, count in zip(resampled_means(values, counts), counts, strict=True):
        assert found == pytest.approx(np.repeat(values, count.astype(int)).mean(), rel=1e-12)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(2).normal(3, 2, 500)
    low, high = interval(resampled_means(values, resamples(500, np.random.default_rng(0), draws=4000)))
    half = 1.96 * values.std() / np.sqrt(500)
    assert (values.mean() - low, high - values.mean()) == (pytest.approx(half, rel=0.1), pytest.approx(half, rel=0.1))


def test_pairs_are_of_different_images():
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(7, 7))
    kernel = kernel + kernel.T
    assert pair_mean(kernel) == pytest.approx(np.mean([kernel[i, j] for i in range(7) for j in range(7) if i != j]), rel=1e-12)
    counts = resamples(7, rng, draws=6)
    for found, count in zip(resampled_pair_means(kernel, counts), counts, strict=True):
        drawn = np.repeat(np.arange(7), count.astype(int))
        assert found == pytest.approx(np.mean([kernel[i, j] for i in drawn for j in drawn if i != j]), rel=1e-10)


def test_rows_and_columns_are_resampled_by_themselves():
    """A table of row effects plus column effects: the variance of the mean is the sum of both bootstraps' variances."""
    random = np.random.default_rng(5)
    rows, columns = random.normal(size=30), 2 * random.normal(size=200)
    table = rows[:, None] + columns[None]
    found = resampled_over_both(table, resamples(30, random, 20_000), resamples(200, random, 20_000))
    assert found.mean() == pytest.approx(table.mean(), abs=0.01)
    assert found.var() == pytest.approx(rows.var() / 30 + columns.var() / 200, rel=0.05)
