"""The page of the few_labels room: the verdict, accuracy against the number of labels, and every number with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter

from ssl_pipelines.artifacts import read_json
from ssl_pipelines.data.store import Store
from ssl_pipelines.evaluation.protocols import said
from ssl_pipelines.reporting.inputs import Model
from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.tables import Table, percent
from ssl_pipelines.reporting.theme import Figure, Theme, chart
from ssl_pipelines.reporting.worth import Setting, caveats, fine_tuning, verdict, worth

HEADS = {"linear": "Linear probe", "prototype": "Nearest class mean", "finetune": "Fine-tuning"}
SOURCES = {  # name of a score -> its title and its place in the theme's colors
    "top1": ("Pretrained", 0),
    "random_init_top1": ("Random initialization", 1),
    "from_scratch_top1": ("From scratch", 1),
    "raw_pixels_top1": ("Raw pixels", 2),
    "timm_top1": ("ImageNet weights", 3),
}


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    table: Table
    protocols: Sequence[tuple[str, str]]


def write_few_labels_page(folder: Path, store: Path, model: Path) -> None:
    """few_labels.html beside the scores in `folder`, and the figures as PNG files."""
    scores = {row["metric"]: row for row in read_json(folder / "few_labels.json")}
    draws, notes = pd.read_parquet(folder / "few_labels.draws.parquet"), read_json(folder / "few_labels.notes.json")
    settings = [Setting(*row) for row in draws[["setting", "words", "labels"]].drop_duplicates().itertuples(index=False)]
    found, data, trained = worth(scores, settings, notes["images_seen"]), Store.open(store), Model(model)
    words, kind = verdict(found)
    tuned = fine_tuning(scores, settings)
    shown = [head for head in HEADS if any(f".{head}." in metric for metric in scores)]
    figures = [curves(scores, settings, head) for head in shown]
    for figure in figures:
        figure.save(folder)
    write_page(
        folder / "few_labels.html",
        "few_labels.html.j2",
        method=trained.method,
        dataset=data.name,
        verdict=words,
        kind=kind,
        sentences=[(one.sentence(), one.kind) for one in found],
        tuned=tuned,
        caveats=[*caveats(settings, int(notes["images_seen"]), bool(tuned)), *notes["left_out"]],
        timm=notes["timm"] if any("timm_top1" in metric for metric in scores) else None,
        sections=[_section(scores, settings, head) for head in shown],
        figures=figures,
        test=next(iter(scores.values()))["n"],
    )


def curves(scores: Mapping[str, Mapping[str, Any]], settings: Sequence[Setting], head: str) -> Figure:
    """Test top-1 against the number of labels, logarithmic: shares of the labels solid, n a class dashed."""
    points = {
        (name, share): [(one.labels, scores[metric]) for one in sorted(settings, key=lambda one: one.labels)
                        if one.words.endswith("%") == share and (metric := f"few_labels.{one.key}.{head}.{name}") in scores]
        for name in SOURCES
        for share in (True, False)
    }  # fmt: skip
    points = {key: rows for key, rows in points.items() if rows}

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes, titled = canvas.subplots(), set()
        for (name, share), rows in points.items():
            title, color = SOURCES[name]
            values = [100 * row["value"] for _, row in rows]
            ends = [[100 * abs(row[end] - row["value"]) for _, row in rows] for end in ("low", "high")]
            axes.errorbar(
                [n for n, _ in rows], values, yerr=ends, color=theme.series[color], marker="o" if share else "s", markersize=5,
                capsize=3, linestyle="-" if share else "--", linewidth=1.6, label=None if title in titled else title,
            )  # fmt: skip
            titled.add(title)
        axes.set_xscale("log")
        ticks = sorted({n for rows in points.values() for n, _ in rows})
        far = [n for k, n in enumerate(ticks) if k == 0 or n / ticks[k - 1] > 1.3]  # others would be written over each other
        axes.set_xticks(far, [f"{n:,}" for n in far])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(title=HEADS[head], xlabel="labels", ylabel="test top-1, %")
        axes.grid(axis="y")
        canvas.legend(loc="outside lower center", ncols=2)

    def said(name: str) -> str:
        here = [pair for (other, _), rows in points.items() if other == name for pair in rows]
        values = [f"{percent(row['value'])} with {n:,}" for n, row in sorted(here, key=lambda pair: pair[0])]
        return f"{SOURCES[name][0].lower()} {', '.join(values)}"

    names = list(dict.fromkeys(name for name, _ in points))
    caption = (
        "Solid: a share of every class's labels; dashed: as many of every class. Bars: 95% intervals over draws and test images."
    )
    alt = f"{HEADS[head]}, test top-1 against the number of labels: {'; '.join(map(said, names))}."
    return chart(f"few_labels_{head}", alt, draw, (5.4, 4.2), caption)


def _section(scores: Mapping[str, Mapping[str, Any]], settings: Sequence[Setting], head: str) -> Section:
    def of(setting: Setting, name: str) -> Mapping[str, Any] | None:
        return scores.get(f"few_labels.{setting.key}.{head}.{name}")

    here = [setting for setting in settings if of(setting, "top1")]
    names = [name for name in SOURCES if any(of(setting, name) for setting in here)]
    every = [f"gain_over_{name.removesuffix('_top1')}" for name in SOURCES]
    gains = [name for name in every if any(of(one, name) for one in here)]
    headers = ["Labels", *(SOURCES[name][0] for name in names), *(f"Gain over {_short(name)}" for name in gains)]
    rows = [
        (
            f"{one.words} ({one.labels:,})",
            *(_cell(of(one, name)) for name in names),
            *(_cell(of(one, name), gain=True) for name in gains),
        )
        for one in here
    ]
    protocols = [
        (f"{one.words}, {SOURCES[name][0].lower()}", said(row)) for one in here for name in names if (row := of(one, name))
    ]
    return Section(HEADS[head], Table(headers, rows, frozenset(range(1, len(headers)))), protocols)


def _short(gain: str) -> str:
    return SOURCES[f"{gain.removeprefix('gain_over_')}_top1"][0].lower().replace("imagenet", "ImageNet")


def _cell(row: Mapping[str, Any] | None, *, gain: bool = False) -> str:
    if row is None:
        return "–"
    sign = "+" if gain else ""
    return f"{100 * row['value']:{sign}.1f} [{100 * row['low']:{sign}.1f}, {100 * row['high']:{sign}.1f}]"
