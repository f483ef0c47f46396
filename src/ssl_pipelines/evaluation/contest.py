"""Decides whether a candidate becomes champion: its linear probe's test answers against the present champion's, on the same images
and by the same protocol.

The difference has a paired bootstrap over the test images, Efron & Tibshirani 1993, chapter 13; a first champion has to beat its own
random initialization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ssl_pipelines.algorithms.intervals import paired_bootstrap, span
from ssl_pipelines.artifacts import InputError, new_folder, read_json, write_json
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.protocols import OLD, apart, eval_layer_of

METRIC, GAIN = "linear.top1", "linear.gain"
PREDICTIONS, FACTS = "predictions.parquet", "judged.json"


@dataclass(frozen=True, slots=True)
class Judged:
    """What is kept of a judged model: its scores, its answer to every test image, and the data that they are about."""

    data: str  # name
    sha256: str  # of the store
    scores: Sequence[Mapping[str, Any]]  # rows of linear_eval.json
    predictions: pd.DataFrame  # id, label, prediction of the test images

    def score(self, metric: str) -> Mapping[str, Any]:
        return next(row for row in self.scores if row["metric"] == metric)

    @property
    def protocol(self) -> Mapping[str, Any] | str:
        """What was settled before the fit; a sentence where an earlier version kept no data of it."""
        found: Mapping[str, Any] | str = self.score(METRIC)["protocol"]
        return found

    @property
    def eval_layer(self) -> str | None:
        """The layer whose features were judged."""
        return eval_layer_of(self.score(METRIC))

    @property
    def digest(self) -> str:
        """Digest of scores and answers: equal ones have equal digests."""
        return digest([self.data, self.sha256, [dict(row) for row in self.scores], self.predictions.to_csv(index=False)])

    def write(self, folder: Path) -> None:
        with new_folder(folder) as fresh:
            self.predictions.to_parquet(fresh / PREDICTIONS, index=False)
            write_json(fresh / FACTS, {"data": self.data, "sha256": self.sha256, "scores": [dict(row) for row in self.scores]})

    @staticmethod
    def read(folder: Path) -> Judged:
        facts = read_json(folder / FACTS)
        path = folder / PREDICTIONS
        if not path.is_file():
            raise InputError(f"{path} is missing")
        return Judged(facts["data"], facts["sha256"], facts["scores"], pd.read_parquet(path))


@dataclass(frozen=True, slots=True)
class Verdict:
    won: bool
    reason: str  # one line


def contest(candidate: Judged, champion: Judged | None, margin: float) -> Verdict:
    """Won only where the lower end of the 95 % interval of the difference lies above `margin`, a fraction. The same answers, the same
    verdict: the bootstrap's seed is fixed."""
    if champion is None:
        return _first(candidate.score(GAIN), margin)
    for what, mine, theirs in (
        ("data", _named(candidate), _named(champion)),
        ("protocol", candidate.protocol, champion.protocol),
        ("test images", _images(candidate), _images(champion)),
    ):
        if mine != theirs:
            if isinstance(mine, str) != isinstance(theirs, str) and what == "protocol":
                return Verdict(
                    False, f"no comparison: the {'champion' if isinstance(theirs, str) else 'candidate'} was judged before, {OLD}"
                )
            mine, theirs = apart(mine, theirs) if isinstance(mine, Mapping) and isinstance(theirs, Mapping) else (mine, theirs)
            return Verdict(False, f"other {what} than the champion's, so no comparison: {mine} here, {theirs} there")
    ours, theirs_right = (_right(side) for side in (candidate, champion))
    value, low, high = paired_bootstrap(ours, theirs_right, generator(0, "bootstrap/contest"))
    found = f"{points(value, low, high)} over the champion on the same {len(ours):,} test images"
    return Verdict(low > margin, found if low > margin else f"{found}; the lower end has to lie above {100 * margin:g}")


def points(value: float, low: float, high: float) -> str:
    """+1.2 points [+0.3, +2.1]"""
    return f"{100 * value:+.1f} points {span(low, high)}"


def _first(gain: Mapping[str, Any], margin: float) -> Verdict:
    found = f"{points(gain['value'], gain['low'], gain['high'])} over its random initialization"
    won = bool(gain["low"] > margin)
    return Verdict(won, f"first champion, {found}" if won else f"{found}; the lower end has to lie above {100 * margin:g}")


def _named(judged: Judged) -> str:
    return f"{judged.data} {judged.sha256[:12]}"


def _images(judged: Judged) -> str:
    rows = judged.predictions.sort_values("id")
    return f"{len(rows):,} images {digest([rows.id.tolist(), rows.label.tolist()])[:12]}"


def _right(judged: Judged) -> Any:
    rows = judged.predictions.sort_values("id")
    return (rows.prediction == rows.label).to_numpy()
