"""Simulates the choice of images to label: known labels are hidden, each strategy asks for a few of them, and a linear probe learns
from these.

All strategies choose from the same seeded samples of the pool. The probe's l2 is the one that suits random choices best on the
validation images, for all strategies alike; the test images are answered once, by the final probes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.algorithms.bootstrap import DRAWS, interval, resampled_over_both, resamples
from ssl_pipelines.artifacts import InputError, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.config import SelectConfig
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.linear import grid
from ssl_pipelines.evaluation.logistic import Linear, Problem
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.protocols import described
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.evaluation.selection import ROOM, STRATEGIES, pick
from ssl_pipelines.evaluation.stored import TRAINED, StoredFeatures

RANDOM = "random"
RANDOM_EACH = 5  # random choices for each sample of the pool: the baseline is measured more exactly than the strategies
TUNING = 10  # random choices on which l2 is chosen
VALIDATION = 2000  # validation images, at most
NUM_VALUES, ITERATIONS, TOLERANCE = 12, 300, 1e-5


@dataclass(frozen=True, slots=True)
class Task:
    """Features and labels in three roles; the columns have mean 0 and standard deviation 1 over the pool, which needs no labels."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    x_val: NDArray[np.float32]
    y_val: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    as_they_are: NDArray[np.float32]  # what strategies see of the pool

    @staticmethod
    def of(frame: Frame, stored: StoredFeatures, layer: str, seed: int) -> Task:
        validation = generator(seed, f"evaluation/{ROOM}/validation").permutation(frame.validation)[:VALIDATION]
        pool, val, test = (stored.rows(TRAINED, layer, ids) for ids in (frame.fit, validation, frame.test))
        mean, std = pool.mean(0), pool.std(0)
        std[std < 1e-6] = 1.0
        x, x_val, x_test = ((part - mean) / std for part in (pool, val, test))
        labels = frame.store.labels
        return Task(x, labels(frame.fit), x_val, labels(validation), x_test, labels(frame.test), pool)

    def sample(self, config: SelectConfig, seed: int, draw: int) -> NDArray[np.int64]:
        """Rows of the pool from which this draw chooses."""
        return np.sort(generator(seed, f"evaluation/{ROOM}/pool", draw).permutation(len(self.x))[: config.pool])


def trial(features: Path, store: Path, config: SelectConfig, eval_layer: str, seed: int, out: Path) -> list[Score]:
    """Writes select.json: `select.<strategy>.<budget>.top1`, and `.gain` over random. Raises NotApplicable where labels are missing."""
    frame, stored = Frame.of(Store.open(store), seed, f"{ROOM}.simulate"), StoredFeatures.open(features)
    layer = stored.eval_layer(eval_layer, f"{ROOM}.eval_layer")
    task = Task.of(frame, stored, layer, seed)
    size, largest = min(config.pool, len(task.x)), max(config.budgets)
    if largest > size:
        raise InputError(
            f"{ROOM}.budgets: {largest:,} labels are more than the {size:,} images of a pool; allowed is up to {size:,}"
        )
    weights = _resamples(config.draws, len(task.y_test), seed)
    said = (
        f"a pool of {size:,} images whose labels were hidden; logistic regression on eval layer {layer}, features standardized over all "
        f"{len(frame.fit):,} images; {frame.describe()}; percentile 95% of {DRAWS:,} bootstrap samples of draws and test images"
    )
    scores: list[Score] = []
    with progress(f"{ROOM}.simulate", len(config.budgets) * config.draws * len(STRATEGIES), "draws") as advance:
        for budget in config.budgets:
            l2 = _l2(task, config, budget, seed)
            correct = {name: np.empty((config.draws, len(task.y_test)), np.float32) for name in STRATEGIES}
            for draw in range(config.draws):
                sample = task.sample(config, seed, draw)
                for name, table in correct.items():
                    table[draw] = _correct(task, name, sample, budget, l2, seed, draw)
                    advance(1)
            scores += _scores(
                correct, budget, weights, f"{budget} labels of {said}; l2={l2:.3g} chosen for random on validation", seed, layer
            )
    write_json(out / "select.json", [asdict(score) for score in scores])
    return scores


def _correct(task: Task, name: str, sample: NDArray, budget: int, l2: float, seed: int, draw: int) -> NDArray[np.float64]:
    """(test images,): whether each answer is right after learning from the chosen labels; of several choices the mean."""
    choices = range(RANDOM_EACH) if name == RANDOM else range(1)
    return np.mean([_probe(task, _asked(task, name, sample, budget, seed, draw, i), l2) for i in choices], axis=0)


def _asked(task: Task, name: str, sample: NDArray, budget: int, seed: int, *draw: int) -> NDArray[np.int64]:
    rows, _ = pick(name, task.as_they_are[sample], np.empty(0, np.int64), budget, seed, budget, *draw)
    return np.asarray(sample[rows.numpy()])


def _probe(task: Task, rows: NDArray, l2: float) -> NDArray[np.bool_]:
    solved = Problem(task.x[rows], task.y[rows], standardize=False).solve(l2, None, ITERATIONS, TOLERANCE)
    return np.asarray(solved.predict(task.x_test) == task.y_test)


def _l2(task: Task, config: SelectConfig, budget: int, seed: int) -> float:
    """The l2 that is best on validation for random choices, on average; these choices serve nothing else and are not scored."""
    values, shares = grid(NUM_VALUES), np.zeros(NUM_VALUES)
    for i in range(TUNING):
        sample = task.sample(config, seed, config.draws + i)
        rows = _asked(task, RANDOM, sample, budget, seed, config.draws + i)
        path = Problem(task.x[rows], task.y[rows], standardize=False).path(values.tolist(), ITERATIONS, TOLERANCE)
        shares += [_share(solved, task) for solved in path]
    return float(values[int(shares.argmax())])


def _share(solved: Linear | None, task: Task) -> float:
    return 0.0 if solved is None else float((solved.predict(task.x_val) == task.y_val).mean())


def _resamples(draws: int, images: int, seed: int) -> tuple[NDArray, NDArray]:
    random = generator(seed, f"bootstrap/{ROOM}")
    return resamples(draws, random), resamples(images, random)


def _scores(
    correct: dict[str, NDArray], budget: int, weights: tuple[NDArray, NDArray], said: str, seed: int, layer: str
) -> list[Score]:
    draws, n = correct[RANDOM].shape
    scores = []
    for name, table in correct.items():
        times, baseline = (draws * RANDOM_EACH, RANDOM) if name == RANDOM else (draws, None)
        top = _measured(table, weights)
        protocol = f"{name}, mean of {times} seeded draws of {said}"
        scores.append(Score(f"{ROOM}.{name}.{budget}.top1", *top, n, described(protocol), seed, baseline, layer))
        if name != RANDOM:
            gain = _measured(table - correct[RANDOM], weights)
            protocol = f"{name} minus random on the same pools, mean of {draws} seeded draws of {said}"
            scores.append(Score(f"{ROOM}.{name}.{budget}.gain", *gain, n, described(protocol), seed, RANDOM, layer))
    return scores


def _measured(table: NDArray, weights: tuple[NDArray, NDArray]) -> tuple[float, float, float]:
    return float(table.mean()), *interval(resampled_over_both(table, *weights))
