"""95% intervals: of a share of correct answers, of the difference of two on the same images, and over draws of what was learnt from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Z95 = 1.959963984540054  # 97.5% quantile of the normal distribution
DRAWS = 10_000
CELLS = 4_000_000  # counts held at a time


def wilson(correct: float, n: int) -> tuple[float, float]:
    """Wilson's score interval of the share correct / n, Wilson, JASA 1927. `correct` in [0, n] may be a mean over seeds."""
    share, z2 = correct / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    # At 0 and at n the ends meet the share exactly, but for rounding.
    return max(0.0, min(share, float(middle - half))), min(1.0, max(share, float(middle + half)))


def paired_bootstrap(ours: NDArray, theirs: NDArray, rng: np.random.Generator, draws: int = DRAWS) -> tuple[float, float, float]:
    """(difference of means, low, high): percentile interval over resampled images.   ours, theirs: (n,), each image's correctness.

    A baseline over several seeds comes as its mean correctness per image. Efron & Tibshirani 1993, chapter 13."""
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    values, counts = np.unique(difference, return_counts=True)
    # Images with equal differences are exchangeable, so n draws with replacement are one multinomial draw over the few values.
    share, step = counts / counts.sum(), max(1, CELLS // len(values))
    sizes = [min(step, draws - start) for start in range(0, draws, step)]
    means = np.concatenate([rng.multinomial(len(difference), share, size=size) @ values for size in sizes]) / len(difference)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def over_draws(per_draw: NDArray, low: float, high: float) -> tuple[float, float]:
    """Interval (low, high) over test images of the mean of `per_draw` (D,), widened by Student's over the draws.

    Draws and images vary independently, so the half-widths add in quadrature; a single draw adds nothing."""
    values = np.asarray(per_draw, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    half = 0.0 if n < 2 else float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean - float(np.hypot(mean - low, half)), mean + float(np.hypot(high - mean, half))


def span(low: float, high: float) -> str:
    """[+0.3, +2.1]: the interval of a difference of two shares, in points."""
    return f"[{100 * low:+.1f}, {100 * high:+.1f}]"
