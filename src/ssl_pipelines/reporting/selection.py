"""The page of the select room: the images that were chosen, and what the strategies are worth where that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from ssl_pipelines.artifacts import read_json
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.pictures import sheet, thumbnail
from ssl_pipelines.reporting.tables import Table
from ssl_pipelines.reporting.theme import Figure, Theme, chart

COLUMNS, SHOWN = 12, 120  # images in a row; images
SCORES = {
    "typicality": "the inverse mean distance to the nearest neighbors within its cluster: higher is more typical",
    "coreset": "the distance to the nearest image that had a label or was chosen before",
    "random": "none",
}
Rows = Mapping[str, Mapping[str, Any]]  # metric -> score


def write_selection_page(folder: Path, store: Path, strategy: str) -> None:
    """select.html from select.parquet and select.json in `folder`, either of which may be absent."""
    opened = Store.open(store)
    chosen = pd.read_parquet(folder / "select.parquet") if (folder / "select.parquet").is_file() else None
    scores = {row["metric"]: row for row in read_json(folder / "select.json")} if (folder / "select.json").is_file() else {}
    write_page(
        folder / "select.html",
        "select.html.j2",
        dataset=opened.name,
        facts=_facts(opened, strategy, chosen),
        says=SCORES[strategy],
        grid=None if chosen is None else _grid(opened, chosen),
        table=None if chosen is None else _listed(chosen),
        shown=min(SHOWN, 0 if chosen is None else len(chosen)),
        trial=_trial(scores) if scores else None,
    )


def _facts(store: Store, strategy: str, chosen: pd.DataFrame | None) -> list[tuple[str, str]]:
    pool = store.pretraining_ids()
    labeled = int((store.labels(pool) >= 0).sum())
    facts = [("Strategy", strategy), ("Images without a label", f"{len(pool) - labeled:,}"), ("With one", f"{labeled:,}")]
    return facts if chosen is None else [*facts, ("Chosen", f"{len(chosen):,}")]


def _grid(store: Store, chosen: pd.DataFrame) -> Figure:
    ids = chosen["id"].to_numpy()[:SHOWN]
    tiles = [thumbnail(image, 64) for image in store.gather(ids).fields["image"]]
    which = f"The {len(ids)}" if len(ids) == len(chosen) else f"The first {len(ids)} of {len(chosen):,}"
    said = f"{which} chosen images, from left to right and line by line in the order in which to label them."
    return Figure(
        "chosen",
        said,
        sheet([tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]),
        caption=said,
        pixels=True,
    )


def _listed(chosen: pd.DataFrame) -> Table:
    columns = (chosen[name].head(SHOWN).tolist() for name in ("rank", "id", "path", "score"))
    rows = [
        (str(rank), str(image), str(path), "–" if np.isnan(score) else f"{score:.4g}")
        for rank, image, path, score in zip(*columns, strict=True)
    ]
    return Table(["Rank", "Id", "Path", "Score"], rows, frozenset({1, 3}))


def _trial(scores: Rows) -> dict[str, Any]:
    found = [metric.split(".") for metric in scores if metric.endswith(".top1")]  # select, strategy, budget, top1
    strategies, budgets = list(dict.fromkeys(parts[1] for parts in found)), sorted({int(parts[2]) for parts in found})
    first = scores[f"select.{strategies[0]}.{budgets[0]}.top1"]
    return {
        "table": trial_table(scores, strategies, budgets),
        "figure": _curves(scores, strategies, budgets),
        "n": f"{first['n']:,}",
        "protocols": [(metric, said(row)) for metric, row in scores.items()],
    }


def trial_table(scores: Rows, strategies: Sequence[str], budgets: Sequence[int]) -> Table:
    """A line a budget: top-1 of each strategy, and each one's gain over random, with their intervals."""
    others = [name for name in strategies if name != "random"]
    rows = []
    for budget in budgets:
        tops = [_span(scores[f"select.{name}.{budget}.top1"], ".1f") for name in strategies]
        gains = [_span(scores[f"select.{name}.{budget}.gain"], "+.1f") for name in others]
        rows.append((f"{budget:,}", *tops, *gains))
    headers = ["Labels", *(name.capitalize() for name in strategies), *(f"{name.capitalize()} over random" for name in others)]
    return Table(headers, rows, frozenset(range(1, len(headers))))


def _span(row: Mapping[str, Any], form: str) -> str:
    return f"{100 * row['value']:{form}} [{100 * row['low']:{form}}, {100 * row['high']:{form}}]"


def _curves(scores: Rows, strategies: Sequence[str], budgets: Sequence[int]) -> Figure:
    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        colors = dict(zip(("typicality", "random", "coreset"), (theme.series[0], theme.series[1], theme.series[3]), strict=True))
        for name in strategies:
            rows = [scores[f"select.{name}.{budget}.top1"] for budget in budgets]
            low, value, high = ([100 * row[key] for row in rows] for key in ("low", "value", "high"))
            axes.plot(budgets, value, marker="o", markersize=5, color=colors[name], label=name)
            axes.fill_between(budgets, low, high, color=colors[name], alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets], minor=False)
        axes.minorticks_off()
        axes.set(xlabel="labels", ylabel="test top-1, %")
        axes.grid()
        axes.legend()

    said = "; ".join(
        f"{name}: "
        + ", ".join(f"{100 * scores[f'select.{name}.{budget}.top1']['value']:.1f} % with {budget} labels" for budget in budgets)
        for name in strategies
    )
    return chart(
        "simulation", f"Test top-1 of a linear probe against the number of labels, with 95% intervals. {said}.", draw, (7.5, 4.2)
    )
