"""Percentile intervals of means over images and over pairs of images. Efron & Tibshirani 1993, chapter 13."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
Floats = NDArray[np.float64]


def resamples(n: int, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """How often each of n images is drawn, in `draws` samples of n with replacement: (draws, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def resampled_means(values: Floats, counts: Floats) -> Floats:
    """(n,) -> (draws,)"""
    return counts @ values / counts.sum(1)


def pair_mean(kernel: Floats) -> float:
    """The mean of a symmetric (n, n) over pairs of different images."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def resampled_pair_means(kernel: Floats, counts: Floats) -> Floats:
    """The same in every sample: (n, n) -> (draws,). An image that is drawn twice is no pair."""
    products = np.einsum("di,di->d", counts @ kernel, counts) - counts**2 @ np.diag(kernel)
    return products / (counts.sum(1) ** 2 - (counts**2).sum(1))


def interval(samples: Floats) -> tuple[float, float]:
    low, high = np.percentile(samples, [2.5, 97.5])
    return float(low), float(high)


def resampled_over_both(values: NDArray, rows: Floats, columns: Floats) -> Floats:
    """Means of a table whose rows and columns are both samples, each resampled by itself: (r, n), (draws, r), (draws, n) -> (draws,).

    Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2): its variance is not too small."""
    return np.einsum("dn,dn->d", rows @ values, columns) / (rows.sum(1) * columns.sum(1))
