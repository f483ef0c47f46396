"""The scores in words: each with its interval, n and protocol, beside its baselines, and whether the method learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.reporting.inputs import PIXELS, ROOMS, Scores
from ssl_pipelines.reporting.tables import Table

PREFIX = {"linear_eval": "linear", "knn_eval": "knn", "finetune": "finetune"}
COLUMNS = {
    "top1": "Pretrained",
    "random_init_top1": "Random initialization",
    "from_scratch_top1": "From scratch",
    "raw_pixels_top1": "Raw pixels",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One score: "95.7", "%", "94.3 to 96.9", "n = 1,000", and its protocol in words."""

    label: str
    value: str
    unit: str  # "%", "points" for a gain, or nothing
    interval: str
    n: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Result:
    """One room's scores, the trained model first, the gain last; the first one's protocol, and those that differ from it."""

    title: str
    cells: Sequence[Cell]
    protocol: str
    other_protocols: Sequence[tuple[str, str]]  # label, protocol


@dataclass(frozen=True, slots=True)
class Headline:
    title: str  # "Linear probe, top-1"
    score: Cell
    gain: Cell | None
    verdict: str
    kind: str  # "good", "none" or "bad", for the color
    pixels: Cell | None  # raw pixels, where they score higher: a gain over random initialization alone would flatter


def headline(scores: Scores) -> Headline | None:
    """The linear probe's top-1, else the neighbors', and in words what pretraining brought."""
    for room in ("linear_eval", "knn_eval"):
        prefix, found = PREFIX[room], scores.by_metric
        if f"{prefix}.top1" in found:
            top, gain, pixels = (found.get(f"{prefix}.{name}") for name in ("top1", "gain", "raw_pixels_top1"))
            verdict, kind = judge(gain)
            above = None if not top or not pixels or pixels["value"] <= top["value"] else _cell("Raw pixels", pixels)
            score, won = _cell("Pretrained", found[f"{prefix}.top1"]), None if gain is None else _cell("Gain", gain)
            return Headline(f"{ROOMS[room]}, top-1", score, won, verdict, kind, above)
    return None


def judge(gain: Mapping[str, Any] | None) -> tuple[str, str]:
    """Learns only if the whole 95% interval of the paired difference lies above zero."""
    if gain is None or gain.get("low") is None or gain.get("high") is None:
        return "not compared with its random initialization", "none"
    if gain["low"] > 0:
        return "learns", "good"
    if gain["high"] < 0:
        return "worse than its random initialization", "bad"
    return "no gain shown", "none"


def results(scores: Scores) -> list[Result]:
    """One entry per room that has a top-1; last, what pixels cost a model with an exact likelihood."""
    found, made = scores.by_metric, []
    for room, title in ROOMS.items():
        rows = {name: found[f"{PREFIX[room]}.{name}"] for name in COLUMNS if f"{PREFIX[room]}.{name}" in found}
        if rows:
            gain = found.get(f"{PREFIX[room]}.gain")
            cells = [_cell(COLUMNS[name], row) for name, row in rows.items()] + ([_cell("Gain", gain)] if gain is not None else [])
            others = [(cell.label, cell.protocol) for cell in cells if cell.protocol != cells[0].protocol]
            made.append(Result(title, cells, cells[0].protocol, others))
    bits = [_cell(_bits_label(row), row) for row in scores.rooms.get(PIXELS, [])]
    if bits:
        others = [(cell.label, cell.protocol) for cell in bits[1:]]
        made.append(Result("Likelihood of the test images", bits, bits[0].protocol, others))
    return made


def _bits_label(row: Mapping[str, Any]) -> str:
    """The unit in words, and whose bits they are where not the model's."""
    name = str(row["metric"]).rpartition(".")[2].removeprefix(f"{row.get('baseline')}_")
    words = name.replace("_", " ").capitalize()
    return words if row.get("baseline") is None else f"{words}, {row['baseline']} of single values"


def other_scores(scores: Scores) -> Table | None:
    """What the rooms recorded beyond the results; the diagnosis has a section of its own."""
    shown = {f"{prefix}.{name}" for prefix in PREFIX.values() for name in [*COLUMNS, "gain"]}
    shown |= {str(row["metric"]) for row in scores.rooms.get(PIXELS, [])}
    rows = [
        _cell(metric, row) for metric, row in scores.by_metric.items() if metric not in shown and not metric.startswith("diagnose.")
    ]
    if not rows:
        return None
    text = [(cell.label, f"{cell.value} {cell.unit}", cell.interval, cell.n, cell.protocol) for cell in rows]
    return Table(["Metric", "Value", "95% interval", "n", "Protocol"], text, frozenset({1, 2, 3}))


def is_share(metric: str) -> bool:
    return metric.endswith(("top1", "top5", "accuracy", "gain"))


def _cell(label: str, row: Mapping[str, Any]) -> Cell:
    metric, value, low, high, n = str(row["metric"]), row["value"], row.get("low"), row.get("high"), row.get("n")
    protocol = said(row)
    n_text = "" if n is None else f"n = {n:,}"
    if value is None or not is_share(metric):
        span = "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
        return Cell(label, "–" if value is None else f"{value:.4g}", "", span, n_text, protocol)
    sign = "+" if metric.endswith("gain") else ""
    unit = "points" if sign else "%"
    span = "" if low is None or high is None else f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"
    return Cell(label, f"{100 * value:{sign}.1f}", unit, span, n_text, protocol)
