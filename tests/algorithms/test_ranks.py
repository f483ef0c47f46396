"""Mean ranks by hand, and their samples where the spread is known."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_pipelines.algorithms.ranks import mean_ranks, resampled_mean_ranks


def test_by_hand_with_equals():
    scores = np.array([[0.9, 0.8, 0.7], [0.5, 0.5, 0.1], [0.2, 0.3, 0.4]])  # ranks 1 2 3, 1.5 1.5 3, 3 2 1
    assert mean_ranks(scores).tolist() == pytest.approx([5.5 / 3, 5.5 / 3, 7 / 3])


def test_equal_but_for_rounding_is_equal():
    assert mean_ranks(np.array([[0.1 + 0.2, 0.3]])).tolist() == [1.5, 1.5]


def test_scores_far_apart_never_change_places():
    random = np.random.default_rng(0)
    table = random.random((500, 3)) < np.array([0.9, 0.5, 0.1])
    samples = resampled_mean_ranks([table, table], random, 200)
    assert samples.shape == (200, 3)
    assert (samples == [1, 2, 3]).all()


def test_two_alike_change_places_half_of_the_time():
    """Each is right on another half of the images: in a sample the one with more of its half wins."""
    table = np.repeat([[1.0, 0.0], [0.0, 1.0]], 500, axis=0)
    samples = resampled_mean_ranks([table], np.random.default_rng(1), 4000)
    assert samples.mean(0) == pytest.approx([1.5, 1.5], abs=0.03)
    assert (samples[:, 0] == 1).mean() == pytest.approx(0.49, abs=0.03)


def test_fractions_of_several_seeds_are_counted():
    table = np.array([[1.0, 1 / 3], [0.0, 2 / 3], [1.0, 1.0]])
    samples = resampled_mean_ranks([table], np.random.default_rng(2), 3000)
    draws = np.random.default_rng(3).integers(0, 3, (20_000, 3))
    wanted = mean_ranks(table[draws].mean(1)[:, None, :])
    assert samples.mean(0) == pytest.approx(wanted.mean(0), abs=0.04)
