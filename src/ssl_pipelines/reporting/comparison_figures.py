"""The comparison's charts: a color a run, the same in every one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ssl_pipelines.reporting.inputs import ROOMS, Scores
from ssl_pipelines.reporting.results import PREFIX
from ssl_pipelines.reporting.theme import CLASS_COLORS, Figure, Theme, chart

LOSS = "train/loss"
OVERLAID = {  # one scale for all runs
    "watch/knn_top1": ("knn", "Online kNN top-1, %", 100.0),
    "watch/effective_rank": ("effective_rank", "Effective rank (RankMe)", 1.0),
    "watch/embedding_std": ("embedding_std", "Embedding standard deviation (0 is collapsed)", 1.0),
}
CURVES = (LOSS, *OVERLAID)  # what of a training is looked at
GRAYS = ("#94a4a2", "#717581")
RUN_COLORS = tuple(sorted(CLASS_COLORS, key=lambda color: color in GRAYS))  # gray, which marks baselines, last
PANELS_A_LINE = 3


class Compared(Protocol):
    """What is drawn of a run."""

    @property
    def name(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def scores(self) -> Scores: ...
    @property
    def curves(self) -> Mapping[str, pd.DataFrame]: ...


def standings(runs: Sequence[Compared], tops: Callable[[Sequence, str], dict[int, float]]) -> Figure | None:
    """A point a run and room with its 95% interval, and a small mark where its first baseline stands."""
    shown = [(room, tops(runs, room)) for room in ROOMS if tops(runs, room)]
    if not shown:
        return None
    height = sum(len(values) for _, values in shown)

    def draw(canvas: Canvas, theme: Theme) -> None:
        panels = canvas.subplots(len(shown), 1, squeeze=False, height_ratios=[len(values) for _, values in shown], sharex=True)
        for (room, values), axes in zip(shown, panels.flatten(), strict=True):
            _points(axes, theme, runs, PREFIX[room], sorted(values, key=lambda index: -values[index]))
            axes.set_title(ROOMS[room], fontsize=11.5)
        panels[-1, 0].set_xlabel("test top-1, %; gray mark: the first baseline")

    said = "; ".join(
        f"{ROOMS[room]}: " + ", ".join(f"{runs[i].name} {100 * value:.1f} %" for i, value in values.items())
        for room, values in shown
    )
    return chart(
        "standings", f"Test top-1 of each run with its 95% interval. {said}.", draw, (5.4, 1.0 + 0.5 * len(shown) + 0.36 * height)
    )


def _points(axes: Axes, theme: Theme, runs: Sequence[Compared], prefix: str, order: Sequence[int]) -> None:
    for y, index in enumerate(order):
        found = runs[index].scores.by_metric
        row = found[f"{prefix}.top1"]
        value, low, high = (100 * (row[key] if row.get(key) is not None else row["value"]) for key in ("value", "low", "high"))
        color = RUN_COLORS[index]
        axes.errorbar(value, y, xerr=[[value - low], [high - value]], fmt="o", color=color, markersize=7, capsize=3, linewidth=2)
        base = found.get(f"{prefix}.gain", {}).get("baseline")
        below = found.get(f"{prefix}.{base}_top1")
        if below is not None:
            axes.plot(100 * below["value"], y, marker="|", color=theme.muted, markersize=11, markeredgewidth=2)
    axes.set_yticks(range(len(order)), [_short(runs[index].name) for index in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.margins(x=0.06)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def curves(runs: Sequence[Compared]) -> list[Figure]:
    """The losses, and the watch's numbers, against the step. Losses of different methods get a panel each: their scales say nothing."""
    made = [_losses(runs), *(_overlaid(runs, source, *words) for source, words in OVERLAID.items())]
    return [figure for figure in made if figure is not None]


def _losses(runs: Sequence[Compared]) -> Figure | None:
    known = [(index, run) for index, run in enumerate(runs) if len(run.curves.get(LOSS, ()))]
    if not known:
        return None
    if len({run.method for _, run in known}) == 1:
        return _overlaid(runs, LOSS, "loss", "Training loss", 1.0)
    columns = min(PANELS_A_LINE, len(known))
    lines = -(-len(known) // columns)

    def draw(canvas: Canvas, theme: Theme) -> None:
        panels = canvas.subplots(lines, columns, squeeze=False).flatten()
        for (index, run), axes in zip(known, panels, strict=False):
            _line(axes, run.curves[LOSS], RUN_COLORS[index], 1.0)
            axes.set_title(_short(run.name), fontsize=10.5)
            axes.tick_params(labelsize=9)
            axes.locator_params(nbins=4)
            axes.grid(axis="y")
        for axes in panels[len(known) :]:
            axes.set_visible(False)
        canvas.suptitle("Training loss, each method's own", x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=theme.ink)
        canvas.supxlabel("step", fontsize=11, color=theme.muted)

    said = "; ".join(f"{run.name} ends at {run.curves[LOSS].value.iloc[-1]:.4g}" for _, run in known)
    return chart("loss", f"Training loss against the step, a panel a run: {said}.", draw, (5.4, 1.2 + 1.8 * lines))


def _overlaid(runs: Sequence[Compared], source: str, name: str, title: str, scale: float) -> Figure | None:
    known = [(index, run) for index, run in enumerate(runs) if len(run.curves.get(source, ()))]
    if not known:
        return None

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        for index, run in known:
            _line(axes, run.curves[source], RUN_COLORS[index], scale, run.name)
        axes.set(title=title, xlabel="step")
        axes.margins(x=0.02)
        axes.grid(axis="y")
        canvas.legend(loc="outside lower center", ncols=min(3, len(known)), columnspacing=1.2, handlelength=1.4)

    said = "; ".join(f"{run.name} ends at {scale * run.curves[source].value.iloc[-1]:.4g}" for _, run in known)
    return chart(name, f"{title} against the step: {said}.", draw, (5.4, 3.2 + 0.25 * ((len(known) - 1) // 3)))


def _line(axes: Axes, data: pd.DataFrame, color: str, scale: float, label: str | None = None) -> None:
    steps, values = data.step.to_numpy(), scale * data.value.to_numpy()
    few = len(values) <= 30
    if len(values) >= 100:  # a loss jumps from step to step
        axes.plot(steps, values, color=color, alpha=0.22, linewidth=0.8)
        values = pd.Series(values).rolling(len(values) // 25, center=True, min_periods=1).mean().to_numpy()
    axes.plot(steps, values, color=color, marker="o" if few else "", markersize=4, label=label)


def _short(name: str, length: int = 18) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
