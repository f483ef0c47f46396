"""Mean rank over data sets, by which Ericsson et al. 2021, arXiv:2011.13377, sum up a table of transfers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

DRAWS = 2000
DECIMALS = 12  # means of the same answers in another order are equal


def mean_ranks(scores: NDArray) -> NDArray[np.float64]:
    """(..., data sets, models), higher is better -> (..., models); 1 is the best, equal scores share the mean of their places."""
    ranks: NDArray[np.float64] = rankdata(-np.round(scores, DECIMALS), axis=-1).mean(axis=-2)
    return ranks


def resampled_mean_ranks(correct: Sequence[NDArray], rng: np.random.Generator, draws: int = DRAWS) -> NDArray[np.float64]:
    """Mean ranks in samples of each data set's images with replacement.

    correct: a (images, models) a data set, each image's correctness -> (draws, models). The data sets stay the same: what moves is
    what is known of each score, not which data sets might have been chosen."""
    sampled = []
    for table in correct:
        # Images on which all models did alike are exchangeable: n draws are one multinomial draw over the few patterns.
        patterns, counts = np.unique(np.asarray(table, dtype=np.float64), axis=0, return_counts=True)
        sampled.append(rng.multinomial(len(table), counts / len(table), size=draws) @ patterns / len(table))
    return mean_ranks(np.stack(sampled, axis=1))
