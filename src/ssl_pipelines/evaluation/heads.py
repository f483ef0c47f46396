"""Classifiers on frozen features for few labels: logistic regression and the nearest class mean. Neither uses a label outside the
draw: hyper-parameters are chosen by cross-validation within it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_pipelines.evaluation.config import FewLabelsConfig
from ssl_pipelines.evaluation.frame import folds
from ssl_pipelines.evaluation.linear import ON_PATH, REFIT
from ssl_pipelines.evaluation.logistic import Problem, moments

STRONGEST, WEAKEST = 4.0, -2.0  # powers of ten of l2, against the sum of the losses
TO_RANK = 60  # iterations in which values of l2 are compared; the refit may take `max_iterations`
FOLDS, ONE_FOLD_FROM = 5, 1000  # folds; from so many labels on, one held-out fold is enough
Rows = Mapping[str, NDArray]  # layer -> (n, D)
Score = tuple[float, float]  # compared in this order; the larger is better


@dataclass(frozen=True, slots=True)
class Answer:
    predictions: NDArray[np.int64]  # (n,) of the test images
    layer: str
    l2: float | None = None
    folds: int = 0  # number of folds by which layer and l2 were chosen


Head = Callable[[Rows, NDArray, Rows, FewLabelsConfig, np.random.Generator], Answer]


def held_out(labels: NDArray, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """The rows that are held out, a fold at a time; none where no class has a second label."""
    fold = folds(labels, rng, FOLDS)
    parts = [part for part in (fold == k for k in range(fold.max() + 1)) if part.any()]
    return parts[:1] if len(labels) >= ONE_FOLD_FROM else parts


def linear(rows: Rows, labels: NDArray, test: Rows, config: FewLabelsConfig, rng: np.random.Generator) -> Answer:
    """L2-regularized logistic regression; l2, and of several layers one, by cross-validation; refit on the whole draw."""
    parts, layer, l2 = held_out(labels, rng), list(rows)[-1], config.one_shot_l2
    spaces = {name: Space.of(x) for name, x in rows.items()}
    if parts:
        found = {name: _path_scores(space.rows, labels, parts, config) for name, space in spaces.items()}
        layer = max(found, key=lambda name: max(found[name]))
        l2 = l2_grid(config)[found[layer].index(max(found[layer]))]
    final = Problem(spaces[layer].rows, labels, standardize=False).solve(l2, None, config.max_iterations, REFIT)
    return Answer(final.predict(spaces[layer].map(test[layer])), layer, l2, len(parts))


def l2_grid(config: FewLabelsConfig) -> list[float]:
    """From strong to weak, evenly in the logarithm as in `linear_eval`, in a narrower range: with few labels no value outside it is
    best."""
    return np.logspace(STRONGEST, WEAKEST, config.l2_values).tolist()


@dataclass(frozen=True, slots=True)
class Space:
    """A draw's features, standardized; of fewer rows than features, in coordinates of the space that they span.

    An L2-regularized optimum lies in that space, so nothing is lost, and what is left to solve is as small as the draw."""

    rows: NDArray  # (n, min(n, D))
    mean: NDArray
    scale: NDArray
    basis: NDArray | None  # (D, n), orthonormal

    @classmethod
    def of(cls, x: NDArray) -> Space:
        mean, scale = (part.numpy() for part in moments(x, standardize=True))
        if len(x) >= x.shape[1]:
            return cls(_standardized(x, mean, scale, np.float32), mean, scale, None)
        u, s, vt = np.linalg.svd(_standardized(x, mean, scale, np.float64), full_matrices=False)
        return cls((u * s).astype(np.float32), mean, scale, vt.T)

    def map(self, x: NDArray) -> NDArray:
        """Other images' features (m, D), in the same coordinates."""
        z = _standardized(x, self.mean, self.scale, np.float32)
        return z if self.basis is None else z @ self.basis.astype(np.float32)


def _standardized(x: NDArray, mean: NDArray, scale: NDArray, kind: type[np.floating]) -> NDArray:
    """Standardizes in the dtype `kind`, so that many images are not copied in double precision."""
    z = x.astype(kind)
    z -= mean.astype(kind)
    z /= scale.astype(kind)
    return z


def prototype(rows: Rows, labels: NDArray, test: Rows, config: FewLabelsConfig, rng: np.random.Generator) -> Answer:
    """The class whose mean is nearest by squared Euclidean distance. Snell et al. 2017, arXiv:1703.05175, equations 1 and 2, of features."""
    layer = list(rows)[-1]
    parts = held_out(labels, rng) if len(rows) > 1 else []
    if parts:
        right = {
            name: sum((nearest_mean(x[~out], labels[~out], x[out]) == labels[out]).sum() for out in parts)
            for name, x in rows.items()
        }
        layer = max(right, key=lambda name: right[name])
    return Answer(nearest_mean(rows[layer], labels, test[layer]), layer, folds=len(parts))


def nearest_mean(x: NDArray, labels: NDArray, queries: NDArray) -> NDArray[np.int64]:
    """(n, D), (n,), (m, D) -> (m,) labels."""
    classes = np.unique(labels)
    means = np.stack([x[labels == label].mean(0, dtype=np.float64) for label in classes])
    # |q - m|^2 without |q|^2, which is the same for every class
    return classes[(queries.astype(np.float64) @ (-2 * means.T) + (means**2).sum(1)).argmin(1)]


def _path_scores(x: NDArray, labels: NDArray, parts: list[NDArray[np.bool_]], config: FewLabelsConfig) -> list[Score]:
    """Of each value of l2, from strong to weak: share of correct answers and mean log likelihood over the folds."""
    values = l2_grid(config)
    sums, count = np.zeros((len(values), 2)), 0
    for out in parts:
        path = Problem(x[~out], labels[~out], standardize=False).path(
            values, min(config.max_iterations, TO_RANK), ON_PATH, dtype=torch.float32
        )
        sums += int(out.sum()) * np.array([solution.score(x[out], labels[out]) for solution in path if solution is not None])
        count += int(out.sum())
    return [(share, likelihood) for share, likelihood in (sums / count).tolist()]


HEADS: dict[str, Head] = {"linear": linear, "prototype": prototype}
