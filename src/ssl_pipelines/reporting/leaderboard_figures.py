"""The leaderboard's pictures: what each method reached and what it cost, and how its training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Canvas

from ssl_pipelines.reporting.theme import Figure, Theme, chart

LOSS, KNN = "train/loss", "watch/knn_top1"
COSTS = (("images_per_second", 1.0, "images/s"), ("peak_memory", 1e9, "memory, GB"), ("seconds", 60.0, "time, min"))
PANELS_A_LINE = 6


class Entry(Protocol):
    """What is drawn of a row."""

    @property
    def method(self) -> str: ...
    @property
    def budget(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def linear_top1(self) -> float | None: ...
    @property
    def random_init_top1(self) -> float | None: ...
    @property
    def knn_top1(self) -> float | None: ...
    @property
    def gain(self) -> float | None: ...
    @property
    def gain_low(self) -> float | None: ...
    @property
    def gain_high(self) -> float | None: ...


def board_chart(rows: Sequence[Entry], stale: AbstractSet[str]) -> Figure:
    """A line a method, in the order given: linear top-1 beside random initialization and kNN, the gain, and the three costs."""

    def draw(canvas: Canvas, theme: Theme) -> None:
        top, gain, *costs = canvas.subplots(1, 2 + len(COSTS), sharey=True, width_ratios=(3.2, 2.4, 1.3, 1.3, 1.3))
        names = [f"{row.method} (stale)" if row.method in stale else row.method for row in rows]
        top.set_yticks(range(len(rows)), names)
        top.invert_yaxis()
        top.set_ylim(len(rows) - 0.4, -0.6)
        _tops(top, theme, rows, stale)
        _gains(gain, theme, rows, stale)
        for axes, (key, unit, label) in zip(costs, COSTS, strict=True):
            _bars(axes, theme, [getattr(row, key) for row in rows], unit)
            axes.set_title(label, fontsize=11.5)
        for axes in (top, gain, *costs):
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            for y in range(len(rows)):
                axes.axhline(y, color=theme.grid, linewidth=0.7, zorder=0)
        canvas.legend(*top.get_legend_handles_labels(), loc="outside upper left", ncols=3, markerscale=1.2)

    said = "; ".join(f"{row.method} {100 * row.linear_top1:.1f} %" for row in rows if row.linear_top1 is not None)
    return chart(rows[0].budget, f"Linear top-1 by method: {said}.", draw, (13.0, 1.6 + 0.34 * len(rows)), dark=False)


def _tops(axes: Axes, theme: Theme, rows: Sequence[Entry], stale: AbstractSet[str]) -> None:
    drawn = [(y, row) for y, row in enumerate(rows) if row.linear_top1 is not None and row.random_init_top1 is not None]
    for y, row in drawn:
        ends = [100 * (row.random_init_top1 or 0), 100 * (row.linear_top1 or 0)]
        axes.plot(ends, [y, y], color=theme.series[0], linewidth=2.2, alpha=_strength(row, stale), zorder=1)
    marks = (
        ("linear_top1", "linear probe", "o", theme.series[0], 46),
        ("random_init_top1", "linear probe, random initialization", "o", theme.series[1], 30),
        ("knn_top1", "kNN", "|", theme.ink, 60),
    )
    for key, label, marker, color, size in marks:
        found = [(100 * value, y, _strength(row, stale)) for y, row in enumerate(rows) if (value := getattr(row, key)) is not None]
        if found:
            x, at, strength = zip(*found, strict=True)
            axes.scatter(x, at, s=size, marker=marker, color=[to_rgba(color, one) for one in strength], zorder=2)
            axes.scatter([], [], s=size, marker=marker, color=color, label=label)  # the legend's, never pale
    for y, row in enumerate(rows):
        if row.linear_top1 is None:
            axes.text(0.02, y, f"{row.verdict}: no score", transform=axes.get_yaxis_transform(), va="center", color=theme.muted)
    axes.set_title("test top-1, %", fontsize=11.5)
    axes.margins(x=0.08)
    axes.grid(axis="x")


def _gains(axes: Axes, theme: Theme, rows: Sequence[Entry], stale: AbstractSet[str]) -> None:
    axes.axvline(0, color=theme.muted, linewidth=1.0)
    for y, row in enumerate(rows):
        if row.gain is None or row.gain_low is None or row.gain_high is None:
            continue
        value, low, high = 100 * row.gain, 100 * row.gain_low, 100 * row.gain_high
        color, strength = theme.series[0] if row.verdict == "learns" else theme.muted, _strength(row, stale)
        axes.errorbar(
            value,
            y,
            xerr=[[value - low], [high - value]],
            fmt="o",
            color=color,
            alpha=strength,
            markersize=5,
            capsize=3,
            linewidth=1.5,
        )
        end, side = (high, "left") if value >= 0 else (low, "right")
        shift = 6 if value >= 0 else -6
        axes.annotate(f"{value:+.1f}", (end, y), (shift, 0), textcoords="offset points", va="center", ha=side, fontsize=10)
    axes.set_title("gain, points [95%]", fontsize=11.5)
    axes.margins(x=0.22)
    axes.grid(axis="x")


def _bars(axes: Axes, theme: Theme, values: Sequence[float | None], unit: float) -> None:
    for y, value in enumerate(values):
        if value is not None:
            axes.barh(y, value / unit, height=0.62, color=theme.series[2], zorder=1)
            shown = value / unit
            axes.annotate(
                f"{shown:,.0f}" if shown >= 100 else f"{shown:.1f}", (shown, y), (4, 0),
                textcoords="offset points", va="center", fontsize=9.5,
            )  # fmt: skip
    axes.set_xlim(0, 1.45 * max((value / unit for value in values if value is not None), default=1.0))
    axes.locator_params(axis="x", nbins=3)


def _strength(row: Entry, stale: AbstractSet[str]) -> float:
    return 0.4 if row.method in stale else 1.0


def curves_chart(budget: str, curves: Mapping[str, pd.DataFrame | None]) -> Figure | None:
    """A panel a method: its loss, and the watch's kNN on one scale for all. None where nothing was recorded."""
    known = {method: curve for method, curve in curves.items() if curve is not None and LOSS in curve}
    if not known:
        return None
    columns = min(PANELS_A_LINE, len(known))
    lines = -(-len(known) // columns)
    best = max((float(curve[KNN].max()) for curve in known.values() if KNN in curve), default=1.0)

    def draw(canvas: Canvas, theme: Theme) -> None:
        panels = canvas.subplots(lines, columns, squeeze=False).flatten()
        for index, (axes, (method, curve)) in enumerate(zip(panels, known.items(), strict=False)):
            _line(axes, theme, curve, LOSS, 1.0, theme.series[0])
            axes.set_title(method, fontsize=10.5)
            axes.tick_params(labelsize=8.5, labelcolor=theme.series[0], axis="y")
            axes.tick_params(labelsize=8.5, axis="x")
            axes.locator_params(nbins=4)
            if KNN in curve:
                beside = axes.twinx()
                _line(beside, theme, curve, KNN, 100.0, theme.series[1])
                beside.set_ylim(0, 105 * best)
                beside.tick_params(labelsize=8.5, labelcolor=theme.series[1], length=0)
                beside.locator_params(nbins=4)
                if index % columns != columns - 1 and index != len(known) - 1:
                    beside.set_yticklabels([])
        for axes in panels[len(known) :]:
            axes.set_visible(False)
        canvas.supxlabel("step", fontsize=10.5, color=theme.muted)
        for label, color in (("loss", theme.series[0]), ("kNN top-1 of a sample, %", theme.series[1])):
            panels[0].plot([], [], color=color, label=label)
        canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    size = (max(4.2, 0.6 + 2.1 * columns), 0.9 + 1.6 * lines)
    return chart(f"{budget}-curves", f"Loss and kNN against the step, of {', '.join(known)}.", draw, size, dark=False)


def _line(axes: Axes, theme: Theme, curve: pd.DataFrame, name: str, scale: float, color: str) -> None:
    rows = curve.loc[np.isfinite(curve[name]), ["step", name]]
    axes.plot(rows["step"], scale * rows[name], color=color, linewidth=1.4, marker="o" if len(rows) < 3 else "", markersize=3)
