"""Intervals against scipy, a plain bootstrap, and how often they cover."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ssl_pipelines.algorithms.intervals import paired_bootstrap, wilson


@pytest.mark.parametrize(("correct", "n"), [(0, 10), (10, 10), (3, 10), (873, 1000), (1, 1), (5000, 10000)])
def test_wilson_matches_scipy(correct, n):
    expected = binomtest(correct, n).proportion_ci(0.95, "wilson")
    assert wilson(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_contains_the_share():
    for n in range(1, 200):
        assert wilson(0, n)[0] == 0
        assert wilson(n, n)[1] == 1
        assert wilson(n // 2, n)[0] <= n // 2 / n <= wilson(n // 2, n)[1]


def test_wilson_takes_a_mean_over_seeds():
    assert wilson(3, 10) < wilson(3 + 1 / 3, 10) < wilson(4, 10)


def resample(ours, theirs, draws, seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(ours), (draws, len(ours)))
    return np.percentile((ours[rows] - theirs[rows]).mean(1), [2.5, 97.5])


def test_bootstrap_matches_resampling_of_images():
    rng = np.random.default_rng(3)
    ours = (rng.random(400) < 0.8).astype(float)
    theirs = np.mean([rng.random(400) < share for share in (0.6, 0.65, 0.7)], axis=0)  # three seeds
    value, low, high = paired_bootstrap(ours, theirs, np.random.default_rng(0))
    assert value == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert (low, high) == pytest.approx(tuple(resample(ours, theirs, 10_000, 5)), abs=0.004)
    assert paired_bootstrap(ours, theirs, np.random.default_rng(0)) == (value, low, high)


def test_bootstrap_is_paired():
    ours = (np.random.default_rng(4).random(500) < 0.5).astype(float)
    same = paired_bootstrap(ours, ours, np.random.default_rng(0))
    assert same == (0, 0, 0)  # an unpaired one would give about +-0.06


def test_bootstrap_does_not_depend_on_the_images_held_at_a_time(monkeypatch):
    rng = np.random.default_rng(6)
    ours, theirs = rng.random(200), rng.random(200)  # 200 different values
    whole = paired_bootstrap(ours, theirs, np.random.default_rng(1), 500)
    monkeypatch.setattr("ssl_pipelines.algorithms.intervals.CELLS", 1000)
    assert paired_bootstrap(ours, theirs, np.random.default_rng(1), 500) == pytest.approx(whole, abs=1e-12)


def test_bootstrap_covers():
    rng, hits, rounds = np.random.default_rng(7), 0, 300
    for _ in range(rounds):
        hard = rng.random(300)
        ours, theirs = (hard < 0.7).astype(float), (hard + rng.normal(0, 0.2, 300) < 0.6).astype(float)
        _, low, high = paired_bootstrap(ours, theirs, rng, 400)
        hits += low <= TRUE_DIFFERENCE <= high
    assert 0.91 <= hits / rounds <= 0.985


def _true_difference():
    rng = np.random.default_rng(8)
    hard = rng.random(4_000_000)
    return float((hard < 0.7).mean() - (hard + rng.normal(0, 0.2, len(hard)) < 0.6).mean())


TRUE_DIFFERENCE = _true_difference()
