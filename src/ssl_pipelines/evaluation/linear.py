"""linear_eval: how well a linear classifier does on frozen features. Kornblith et al. 2019, arXiv:1805.08974; Ericsson et al. 2021,
arXiv:2011.13377 (45 values of l2 there, raw features; here num_values, standardized unless linear_eval.standardize=false)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_pipelines.evaluation.config import LinearConfig
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.frozen import judge
from ssl_pipelines.evaluation.logistic import Linear, Problem, Spectrum
from ssl_pipelines.evaluation.protocols import KIND
from ssl_pipelines.evaluation.scores import Outcome, Score
from ssl_pipelines.evaluation.stored import StoredFeatures

logger = logging.getLogger("ssl_pipelines")
STRONGEST, WEAKEST = 5.0, -6.0  # powers of ten of l2, against the sum of the losses
ON_PATH, REFIT = 1e-4, 1e-5  # largest component of the gradient (logistic.py) at which a fit ends
SOLVER = "full-batch L-BFGS (path in float32, fit in float64)"


@dataclass(frozen=True, slots=True)
class Choice:
    """The best value of the path on validation: by correct answers, among equals by likelihood (small sets are full of equals)."""

    layer: str
    l2: float
    score: tuple[float, float]  # on validation: share of correct answers, mean log likelihood
    solution: Linear
    spectrum: Spectrum  # for the refit
    at_end: bool  # the chosen penalty is the first or last of the grid and no other value ties with it: a better one may lie beyond


def linear_eval(features: Path, store: Path, config: LinearConfig, seed: int, out: Path) -> list[Score]:
    """Writes linear_eval.json and linear_eval.predictions.parquet into `out`. Raises NotApplicable where labels are missing."""
    return judge("linear_eval", "linear", features, store, seed, out, partial(predict, config=config))


def grid(num_values: int) -> NDArray:
    """l2 from strong to weak, evenly in its logarithm."""
    return np.logspace(STRONGEST, WEAKEST, num_values)


def choose(x: NDArray, y: NDArray, x_val: NDArray, y_val: NDArray, layer: str, config: LinearConfig) -> Choice:
    """Solves all penalties together, strong ones first, and stops once a quarter of the grid has brought no better score."""
    problem, values = Problem(x, y, config.standardize), grid(config.num_values)
    patience = max(2, config.num_values // 4)
    scores: dict[int, tuple[float, float]] = {}

    def ended(solved: Mapping[int, Linear]) -> bool:
        scores.update({k: solution.score(x_val, y_val) for k, solution in solved.items() if k not in scores})
        return _walk(scores, patience)[1]

    path = problem.path(values.tolist(), config.max_iterations, ON_PATH, dtype=torch.float32, enough=ended)
    ended({k: solution for k, solution in enumerate(path) if solution is not None})
    walked, _ = _walk(scores, patience)
    best = walked.index(max(walked))
    alone = sum(share == walked[best][0] for share, _ in walked) == 1  # whether no other value has as many correct answers
    at_end = len(values) > 1 and best in (0, len(values) - 1) and alone
    solution = path[best]
    assert solution is not None
    return Choice(layer, float(values[best]), walked[best], solution, problem.spectrum, at_end)


def _walk(scores: Mapping[int, tuple[float, float]], patience: int) -> tuple[list[tuple[float, float]], bool]:
    """The scores of the values that are done, from the strongest on, and whether the last `patience` of them brought no better
    one."""
    walked: list[tuple[float, float]] = []
    while len(walked) in scores:
        walked.append(scores[len(walked)])
        if len(walked) - 1 - walked.index(max(walked)) >= patience:
            return walked, True
    return walked, False


def predict(stored: StoredFeatures, source: str, frame: Frame, *, config: LinearConfig, key: str = "linear_eval") -> Outcome:
    """Answers for the test images of `frame`. `key`: where the config stands, for the log."""
    labels = frame.store.labels
    y, y_val, layers = labels(frame.fit), labels(frame.validation), stored.layers_of(source)

    def choice(layer: str) -> Choice:
        rows = partial(stored.rows, source, layer)
        return choose(rows(frame.fit), y, rows(frame.validation), y_val, layer, config)

    best = max((choice(layer) for layer in layers), key=lambda found: found.score)
    both = frame.both
    problem = Problem(stored.rows(source, best.layer, both), labels(both), config.standardize, best.spectrum)
    final = problem.solve(best.l2, best.solution, config.max_iterations, REFIT)
    _warn(key, source, best, final)
    answers = final.predict(stored.rows(source, best.layer, frame.test))
    return Outcome(answers, _protocol(config), best.layer, _chosen(best, final, len(layers)))


def _protocol(config: LinearConfig) -> dict[str, Any]:
    """The settings fixed before the fit; scores with different ones are not comparable."""
    grid_of = {"l2_values": config.num_values, "l2_weakest": 10**WEAKEST, "l2_strongest": 10**STRONGEST}
    return {KIND: "linear_probe", "solver": SOLVER, "standardize": config.standardize, **grid_of}


def _chosen(best: Choice, final: Linear, num_layers: int) -> dict[str, Any]:
    """What validation chose among `num_layers` layers and the grid, and how the refit ended."""
    read = {"eval_layer": best.layer, "dims": len(final.weight), "layers": num_layers}
    fit = {"iterations": final.iterations, "gradient": float(final.gradient), "converged": bool(final.converged)}
    return read | {"l2": best.l2, "validation_top1": float(best.score[0])} | fit


def _warn(key: str, source: str, best: Choice, final: Linear) -> None:
    if best.at_end:
        logger.warning("%s, %s: the best l2=%.4g is at an end of the grid; a better one may lie beyond", key, source, best.l2)
    if not final.converged:
        logger.warning(
            "%s, %s: not converged after %d iterations (gradient %.1e); raise %s.max_iterations",
            key,
            source,
            final.iterations,
            final.gradient,
            key,
        )
