"""Scores with their interval, their protocol, and what the same protocol gives without pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.algorithms.intervals import DRAWS, paired_bootstrap, wilson
from ssl_pipelines.artifacts import new_file, write_json
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.protocols import difference, sentence


@dataclass(frozen=True, slots=True)
class Score:
    """One number. `value`, `low`, `high` are fractions but for diagnoses; `baseline` names what it is, or is compared with.

    `protocol`: what was settled before anything was fitted; `chosen`: what validation and the fit came to, one entry a seed."""

    metric: str
    value: float
    low: float | None  # None: it has no interval
    high: float | None
    n: int  # test images; of diagnoses, others
    protocol: Mapping[str, Any]
    seed: int
    baseline: str | None
    eval_layer: str | None = None  # whose features were judged, where there is one
    chosen: Sequence[Mapping[str, Any]] = ()

    @property
    def said(self) -> str:
        """The protocol and what was chosen, as a sentence."""
        return sentence(self.protocol, self.chosen)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The predictions of one model (or one seed of a baseline) for the test images, made before their labels are read."""

    predictions: NDArray[np.int64]  # (n,)
    protocol: Mapping[str, Any]
    eval_layer: str | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)  # by validation, and what the fit came to


def score_all(
    prefix: str, trained: Outcome, baselines: Mapping[str, Sequence[Outcome]], labels: NDArray, seed: int, frame: Mapping[str, Any]
) -> list[Score]:
    """top-1 of the trained model and of every baseline (mean over its seeds), and the gain over the first baseline.

    `frame`: Frame.facts(), which becomes part of every protocol."""
    ours = trained.predictions == labels
    theirs = {name: np.mean([outcome.predictions == labels for outcome in seeds], axis=0) for name, seeds in baselines.items()}
    scores = [_share(f"{prefix}.top1", ours, [trained], frame, seed, None)]
    for name, correct in theirs.items():
        scores.append(_share(f"{prefix}.{name}_top1", correct, baselines[name], frame, seed, name))
    first = next(iter(theirs))
    value, low, high = paired_bootstrap(ours, theirs[first], generator(seed, f"bootstrap/{prefix}"))
    protocol = difference(f"{prefix}.top1", f"{prefix}.{first}_top1", DRAWS, frame)
    return [*scores, Score(f"{prefix}.gain", value, low, high, len(labels), protocol, seed, first)]


def _share(
    metric: str, correct: NDArray, seeds: Sequence[Outcome], frame: Mapping[str, Any], seed: int, baseline: str | None
) -> Score:
    low, high = wilson(float(correct.sum()), len(correct))
    protocol = dict(seeds[0].protocol) | {"data": dict(frame), "interval": "Wilson"} | ({"baseline": baseline} if baseline else {})
    layer = seeds[0].eval_layer if baseline is None else None
    chosen = [dict(one.chosen) for one in seeds if one.chosen]
    return Score(metric, float(correct.mean()), low, high, len(correct), protocol, seed, baseline, layer, chosen)


def write_scores(out: Path, room: str, scores: Sequence[Score], ids: NDArray, labels: NDArray, predictions: NDArray) -> None:
    """Writes <stage>.predictions.parquet, then <stage>.json: the scores appear last, each file whole or not at all."""
    table = pd.DataFrame({"id": ids, "label": labels, "prediction": predictions}).astype("int64")
    with new_file(out / f"{room}.predictions.parquet") as partial:
        table.to_parquet(partial, index=False)
    write_json(out / f"{room}.json", [asdict(score) for score in scores])
