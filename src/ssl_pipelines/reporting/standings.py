"""A run as a comparison sees it, and where the runs stand in each room: top-1 with its interval, gain, baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.reporting.inputs import ROOMS, Scores
from ssl_pipelines.reporting.paired import Difference
from ssl_pipelines.reporting.results import COLUMNS, PREFIX
from ssl_pipelines.reporting.tables import plain


@dataclass(frozen=True)
class Run:
    """One run as a comparison sees it. `name` is its own on the page; `identity`: what -> which, for the foot of the page."""

    name: str
    method: str
    dataset: str
    digest: str  # of the data
    parameters: Mapping[str, Any]  # flat
    scores: Scores
    curves: Mapping[str, pd.DataFrame]  # name -> columns step, value
    pictures: Mapping[str, Path]
    identity: Mapping[str, str]

    @property
    def says(self) -> str:
        """What the name does not say: the method, the data, the images drawn."""
        drawn = self.parameters.get("pretrain.images_seen")
        what = f"on {self.dataset}" if self.method in self.name.split() else f"{self.method} on {self.dataset}"
        return f"{what}, {drawn:,} images drawn" if isinstance(drawn, int) else what


@dataclass(frozen=True, slots=True)
class Standing:
    """A run's line in a room's table; numbers in percent as text."""

    index: int
    best: bool
    value: str
    interval: str
    gain: str
    gain_interval: str
    kind: str  # of the gain: "good", "bad" or "none"
    baselines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Room:
    title: str
    baselines: Sequence[str]
    standings: Sequence[Standing]
    protocols: Sequence[tuple[str, str]]
    note: str


def tops_of(runs: Sequence[Run], room: str) -> dict[int, float]:
    """index -> top-1, of the runs that the room has judged."""
    name = f"{PREFIX[room]}.top1"
    return {index: run.scores.by_metric[name]["value"] for index, run in enumerate(runs) if name in run.scores.by_metric}


def standings_of(room: str, runs: Sequence[Run], winner: int | None) -> Room:
    """The room's table, the highest first."""
    prefix, tops = PREFIX[room], tops_of(runs, room)
    names = [name for name in COLUMNS if name != "top1" and any(f"{prefix}.{name}" in run.scores.by_metric for run in runs)]
    standings = [_standing(prefix, index, runs[index], winner, names) for index in sorted(tops, key=lambda index: -tops[index])]
    protocols = [(runs[index].name, said(runs[index].scores.by_metric[f"{prefix}.top1"])) for index in tops]
    return Room(ROOMS[room], [COLUMNS[name] for name in names], standings, protocols, _note(room, [runs[index] for index in tops]))


def _standing(prefix: str, index: int, run: Run, winner: int | None, names: Sequence[str]) -> Standing:
    found = run.scores.by_metric
    top, gain = found[f"{prefix}.top1"], found.get(f"{prefix}.gain", {})
    kind = "none" if gain.get("low") is None else "good" if gain["low"] > 0 else "bad" if gain["high"] < 0 else "none"
    return Standing(
        index,
        index == winner,
        percent(top["value"]),
        span(top),
        percent(gain.get("value"), "+"),
        span(gain, "+"),
        kind,
        [percent(found.get(f"{prefix}.{name}", {}).get("value")) for name in names],
    )


def _note(room: str, runs: Sequence[Run]) -> str:
    """What the room's own parameters differ in: then a difference is not pretraining's alone."""
    keys = sorted({key for run in runs for key in run.parameters if key.startswith(f"{room}.")})
    differing = [key for key in keys if len({plain(run.parameters.get(key)) for run in runs}) > 1]
    return f"The runs were judged by different protocols: {', '.join(differing)} differ." if differing else ""


def percent(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{100 * value:{sign}.1f}"


def span(row: Any, sign: str = "") -> str:
    low, high = (row.low, row.high) if isinstance(row, Difference) else (row.get("low"), row.get("high"))
    return "" if low is None or high is None else f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"
