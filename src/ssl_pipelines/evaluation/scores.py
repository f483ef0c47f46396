"""A score never stands alone: its interval, its protocol, and what the same protocol gives without pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.algorithms.intervals import DRAWS, paired_bootstrap, wilson
from ssl_pipelines.artifacts import new_file, write_json
from ssl_pipelines.data.seeding import generator


@dataclass(frozen=True, slots=True)
class Score:
    """One number. `value`, `low`, `high` are fractions but for diagnoses; `baseline` names what it is, or is compared with."""

    metric: str
    value: float
    low: float | None  # None: it has no interval
    high: float | None
    n: int  # test images; of diagnoses, others
    protocol: str
    seed: int
    baseline: str | None
    stage: str | None = None  # whose features were judged, where there is one


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one model (or one seed of a baseline) said about the test images, before anyone looked at their labels."""

    predictions: NDArray[np.int64]  # (n,)
    protocol: str
    stage: str | None = None


def score_all(
    prefix: str, trained: Outcome, baselines: Mapping[str, Sequence[Outcome]], labels: NDArray, seed: int, frame: str
) -> list[Score]:
    """top-1 of the trained model and of every baseline (mean over its seeds), and the gain over the first baseline."""
    ours = trained.predictions == labels
    theirs = {name: np.mean([outcome.predictions == labels for outcome in seeds], axis=0) for name, seeds in baselines.items()}
    scores = [_share(f"{prefix}.top1", ours, f"{trained.protocol}; {frame}; Wilson interval", seed, None, trained.stage)]
    for name, correct in theirs.items():
        said = list(dict.fromkeys(outcome.protocol for outcome in baselines[name]))
        many = f"mean of {len(baselines[name])} seeds: " if len(baselines[name]) > 1 else ""
        protocol = f"{many}{' | '.join(said)}; {frame}; Wilson interval of the mean"
        scores.append(_share(f"{prefix}.{name}_top1", correct, protocol, seed, name))
    first = next(iter(theirs))
    value, low, high = paired_bootstrap(ours, theirs[first], generator(seed, f"bootstrap/{prefix}"))
    what = f"{prefix}.top1 minus {prefix}.{first}_top1"
    protocol = f"{what}, paired bootstrap over test images, {DRAWS:,} draws, percentile 95%; {frame}"
    return [*scores, Score(f"{prefix}.gain", value, low, high, len(labels), protocol, seed, first)]


def _share(metric: str, correct: NDArray, protocol: str, seed: int, baseline: str | None, stage: str | None = None) -> Score:
    low, high = wilson(float(correct.sum()), len(correct))
    return Score(metric, float(correct.mean()), low, high, len(correct), protocol, seed, baseline, stage)


def write_scores(out: Path, room: str, scores: Sequence[Score], ids: NDArray, labels: NDArray, predictions: NDArray) -> None:
    """<room>.predictions.parquet, then <room>.json: the scores appear last, each file whole or not at all."""
    table = pd.DataFrame({"id": ids, "label": labels, "prediction": predictions}).astype("int64")
    with new_file(out / f"{room}.predictions.parquet") as partial:
        table.to_parquet(partial, index=False)
    write_json(out / f"{room}.json", [asdict(score) for score in scores])
