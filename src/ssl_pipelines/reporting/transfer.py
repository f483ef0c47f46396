"""The transfer page: one line a data set, one column a source, and their mean ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Canvas

from ssl_pipelines.algorithms.intervals import span
from ssl_pipelines.artifacts import read_json
from ssl_pipelines.evaluation.protocols import difference_words, said
from ssl_pipelines.reporting.inputs import Model
from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.tables import Table, percent
from ssl_pipelines.reporting.theme import CLASS_COLORS, Figure, Theme, chart

HEADS = {"linear": "Linear probe", "knn": "Nearest neighbors"}
BASELINES = {"random_init": "Random init", "raw_pixels": "Raw pixels"}
Rows = Mapping[str, Mapping[str, Any]]  # metric -> score


def write_transfer_page(folder: Path, model: Path, others: Sequence[str]) -> None:
    """transfer_eval.html from the scores and facts in `folder`.   others: the names of further models."""
    described, datasets = Model(model), read_json(folder / "transfer_eval.datasets.json")
    scores = {row["metric"]: row for row in read_json(folder / "transfer_eval.json")}
    columns = {"": f"{described.method}, this encoder", **BASELINES, **{name: name for name in others}}
    write_page(
        folder / "transfer_eval.html",
        "transfer.html.j2",
        method=described.method,
        facts=_facts(described, datasets),
        heads=[_head(head, scores, datasets, columns) for head in HEADS] if scores else [],
        skipped=[(one["name"], one["skipped"]) for one in datasets if one["skipped"]],
        data=_data(datasets),
    )


def _head(head: str, scores: Rows, datasets: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> dict[str, Any]:
    scored = [one["name"] for one in datasets if not one["skipped"]]
    first = f"transfer.{scored[0]}.{head}"
    protocols = [(f"{name}: {title}", said(scores[_metric(name, head, key)])) for name in scored for key, title in columns.items()]
    return {
        "title": HEADS[head],
        "table": table(head, scores, datasets, columns),
        "figure": _figure(head, scores, scored, columns),
        "gain": difference_words(scores[f"{first}.gain"]["protocol"]),
        "ranks": said(scores[f"transfer.{head}.mean_rank"]),
        "protocols": protocols,
    }


def table(head: str, scores: Rows, datasets: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Top-1 in percent with intervals; a data set that was skipped has a line without numbers; the last line is the mean rank."""
    lines = []
    for one in datasets:
        if one["skipped"]:
            lines.append((f"{one['name']} (skipped)", "–", *("–" for _ in columns), "–"))
            continue
        rows = [scores[_metric(one["name"], head, key)] for key in columns]
        gain = scores[f"transfer.{one['name']}.{head}.gain"]
        best = max(row["value"] for row in rows)
        cells = [f"{'★ ' if row['value'] == best else ''}{_span(row, 100, '.1f')}" for row in rows]
        lines.append((one["name"], f"{rows[0]['n']:,}", *cells, f"{100 * gain['value']:+.1f} {span(gain['low'], gain['high'])}"))
    ranks = [scores[f"transfer.{head}.{f'{key}_' if key else ''}mean_rank"] for key in columns]
    lines.append(("Mean rank", "", *(_span(row, 1, ".2f") for row in ranks), ""))
    return Table(
        ["Data set", "Test images", *columns.values(), "Gain over random init"], lines, frozenset(range(1, len(columns) + 3))
    )


def _metric(dataset: str, head: str, key: str) -> str:
    return f"transfer.{dataset}.{head}.{f'{key}_' if key else ''}top1"


def _span(row: Mapping[str, Any], scale: float, form: str) -> str:
    return f"{scale * row['value']:{form}} [{scale * row['low']:{form}}, {scale * row['high']:{form}}]"


def _figure(head: str, scores: Rows, scored: Sequence[str], columns: Mapping[str, str]) -> Figure:
    step = 0.8 / len(columns)

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes, colors = canvas.subplots(), [*theme.series, CLASS_COLORS[4], CLASS_COLORS[2], CLASS_COLORS[5], CLASS_COLORS[9]]
        for place, (key, title) in enumerate(columns.items()):
            rows = [scores[_metric(name, head, key)] for name in scored]
            y = [line + (place - (len(columns) - 1) / 2) * step for line in range(len(scored))]
            values = [100 * row["value"] for row in rows]
            spans = [[100 * (row["value"] - row["low"]) for row in rows], [100 * (row["high"] - row["value"]) for row in rows]]
            axes.errorbar(values, y, xerr=spans, fmt="o", color=colors[place % len(colors)], capsize=2, linewidth=1.4, label=title)
        axes.set_yticks(range(len(scored)), scored)
        axes.set_ylim(len(scored) - 0.5, -0.5)
        axes.set_xlabel("test top-1, %")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        canvas.legend(loc="outside upper left", ncols=2)

    said = "; ".join(f"{name}: " + ", ".join(f"{title} {percent(scores[_metric(name, head, key)]['value'])}" for key, title in columns.items())
                     for name in scored)  # fmt: skip
    height = 1.5 + 0.3 * -(-len(columns) // 2) + len(scored) * (0.3 + 0.16 * len(columns))
    return chart(f"transfer-{head}", f"{HEADS[head]}, test top-1 with 95% intervals. {said}.", draw, (9.0, height))


def _data(datasets: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for one in datasets:
        labeled = [f"{one['labeled'][split]:,}" for split in ("train", "validation", "test")]
        shape = "{size} x {size} x {channels}".format(**one)
        rows.append((one["name"], one["source"], one["reader"], shape, f"{one['classes']:,}", *labeled, one["sha256"][:12]))
    headers = ["Data set", "Source", "Reader", "Stored as", "Classes", "Train, labeled", "Validation", "Test", "sha256"]
    return Table(headers, rows, frozenset({4, 5, 6, 7}))


def _facts(model: Model, datasets: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    scored = sum(not one["skipped"] for one in datasets)
    pretrained = str(model.config.get("data", {}).get("name") or "–")
    facts = [("Method", model.method), ("Backbone", model.backbone), ("Pretrained on", pretrained)]
    return [*facts, ("Data sets scored", f"{scored} of {len(datasets)}")]
