"""The charts: bars with error bars, curves, a confusion matrix, a map of the embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from ssl_pipelines.reporting.inputs import ROOMS, Model, Scores
from ssl_pipelines.reporting.results import COLUMNS, PREFIX
from ssl_pipelines.reporting.theme import CLASS_COLORS, Figure, Theme, chart

COLOR_OF = {
    "top1": 0,
    "random_init_top1": 1,
    "from_scratch_top1": 1,
    "raw_pixels_top1": 2,
}  # the baseline of a kind keeps its color
MAX_NAMES = 20  # classes whose names are written into a figure


def result_bars(scores: Scores) -> Figure | None:
    """Top-1 of every room beside its baselines, with 95% intervals."""
    bars = [
        (room, name, scores.by_metric[f"{PREFIX[room]}.{name}"])
        for room in ROOMS
        for name in COLUMNS
        if f"{PREFIX[room]}.{name}" in scores.by_metric
    ]
    if not bars:
        return None

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes, y, ticks = canvas.subplots(), 0.0, []
        for index, (room, name, row) in enumerate(bars):
            y += 0.7 if index and room != bars[index - 1][0] else 0.0
            value, low, high = (100 * (row[key] if row.get(key) is not None else row["value"]) for key in ("value", "low", "high"))
            axes.barh(y, value, height=0.78, color=theme.series[COLOR_OF[name]])
            axes.errorbar(value, y, xerr=[[value - low], [high - value]], color=theme.ink, capsize=3, linewidth=1.2)
            axes.annotate(f"{value:.1f}", (high, y), (6, 0), textcoords="offset points", va="center", fontsize=11)
            ticks.append((y, f"{ROOMS[room]}\n{COLUMNS[name].lower()}" if name == "top1" else COLUMNS[name].lower()))
            y += 1.0
        axes.set_yticks(*zip(*ticks, strict=True))
        axes.invert_yaxis()
        axes.set(xlim=(0, 108), xlabel="test top-1, %")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    said = "; ".join(f"{ROOMS[room]}, {COLUMNS[name].lower()}: {100 * row['value']:.1f} %" for room, name, row in bars)
    return chart("results", f"Bars of test top-1 with 95% intervals. {said}.", draw, (5.4, 1.0 + 0.5 * len(bars)))


def curve(model: Model, source: str, name: str, title: str, scale: float = 1.0, smooth: bool = False) -> Figure | None:
    """One recorded value against the step; None if it was not recorded."""
    data = model.curve(source)
    if data.empty:
        return None
    steps, values = data["step"].to_numpy(), data["value"].to_numpy() * scale

    def draw(canvas: Canvas, theme: Theme) -> None:
        _line(canvas.subplots(), theme, steps, values, title, smooth)

    alt = f"{title} against the training step: {values[0]:.4g} at step {steps[0]}, {values[-1]:.4g} at step {steps[-1]}."
    return chart(name, alt, draw, (5.4, 3.0))


def other_curves(model: Model, shown: Sequence[str]) -> Figure | None:
    """Small panels of whatever else was recorded, nine at most."""
    names = [name for name in sorted(model.history.name.unique()) if name not in shown and len(model.curve(name)) > 1][:9]
    if not names:
        return None
    columns = min(2, len(names))
    rows = -(-len(names) // columns)

    def draw(canvas: Canvas, theme: Theme) -> None:
        panels = canvas.subplots(rows, columns, squeeze=False).flatten()
        for axes, name in zip(panels, names, strict=False):
            data = model.curve(name)
            _line(axes, theme, data["step"].to_numpy(), data["value"].to_numpy(), name, smooth=False)
            axes.set_xlabel("")
            axes.title.set_fontsize(10.5)
        for axes in panels[len(names) :]:
            axes.set_visible(False)

    return chart(
        "other_curves", f"Also recorded while training: {', '.join(names)}.", draw, (5.4, 3.0 if columns == 1 else 2.0 * rows)
    )


def _line(axes: Axes, theme: Theme, steps: NDArray, values: NDArray, title: str, smooth: bool) -> None:
    window = len(values) // 25
    if smooth and window > 1:
        axes.plot(steps, values, color=theme.series[0], alpha=0.3, linewidth=0.9)
        values = pd.Series(values).rolling(window, center=True, min_periods=1).mean().to_numpy()
    axes.plot(steps, values, color=theme.series[0], marker="o" if len(values) <= 30 else "", markersize=4)
    axes.set(title=title, xlabel="step")
    axes.margins(x=0.02)
    axes.grid(axis="y")
    axes.locator_params(axis="x", nbins=5)


def confusion_matrix(table: NDArray, classes: Sequence[str]) -> Figure:
    """Share of each actual class by prediction.   table: (K, K) counts, row the actual class."""
    share = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    few = len(classes) <= MAX_NAMES

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        image = axes.imshow(
            share,
            cmap=LinearSegmentedColormap.from_list("share", [theme.paper, theme.series[0]]),
            vmin=0,
            vmax=100,
            interpolation="nearest",
        )
        axes.set(xlabel="predicted", ylabel="actual")
        if few:
            names = [_short(name) for name in classes]
            axes.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) > 2 else 0)
            axes.set_yticks(range(len(classes)), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if len(classes) <= 12:
            for i, j in zip(*np.nonzero(table), strict=True):
                color = image.cmap(share[i, j] / 100)
                bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 0.55
                axes.text(
                    j, i, f"{share[i, j]:.0f}", ha="center", va="center", fontsize=9.5, color="#1c2330" if bright else "#ffffff"
                )
        canvas.colorbar(image, ax=axes, shrink=0.8, label="% of the actual class").outline.set_visible(False)

    right = table.diagonal().sum() / max(table.sum(), 1)
    alt = f"Confusion matrix over {len(classes)} classes: {100 * right:.1f} % of {table.sum():,} test images lie on the diagonal."
    return chart("confusion", alt, draw, (5.4, 4.6))


def embedding_map(points: NDArray, labels: NDArray, classes: Sequence[str], name: str, title: str) -> Figure:
    """Test images in two dimensions.   points: (N, 2), labels: (N,), -1 for none."""
    present, counts = np.unique(labels[labels >= 0], return_counts=True)
    colored = present[np.argsort(-counts, kind="stable")][: len(CLASS_COLORS)]

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        rest = ~np.isin(labels, colored)
        axes.scatter(points[rest, 0], points[rest, 1], s=6, color=theme.muted, alpha=0.5, linewidths=0)
        for index, label in enumerate(sorted(colored)):
            here, marker = points[labels == label], "o" if index < 5 else "^"  # the palette's similar colors are five or more apart
            axes.scatter(
                here[:, 0], here[:, 1], s=11, marker=marker, c=CLASS_COLORS[index], linewidths=0, label=_short(classes[label])
            )
        axes.set(title=title, xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_aspect("equal", adjustable="datalim")
        if len(colored):
            columns = 5 if max(len(_short(classes[label])) for label in colored) <= 8 else 3
            canvas.legend(loc="outside lower center", ncols=columns, markerscale=2.0, handletextpad=0.2, columnspacing=1.0)

    said = f"colored by class, the {len(colored)} largest of {len(present)}" if len(present) > len(colored) else "colored by class"
    alt = f"{title}: {len(points):,} test images in two dimensions, {said if len(present) else 'without labels'}."
    return chart(name, alt, draw, (5.4, 5.0))


def size_histogram(manifest: pd.DataFrame) -> Figure | None:
    """Shorter side of the source images, usable ones; None where all are equal."""
    sides = manifest.loc[manifest.status == "ok", ["width", "height"]].min(axis=1).dropna().astype(float)
    if sides.nunique() < 2:
        return None

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        axes.hist(sides, bins=30, color=theme.series[0])
        axes.set(title="Shorter side of the source", xlabel="pixels", ylabel="images")
        axes.grid(axis="y")

    alt = f"Histogram of the shorter side of {len(sides):,} source images: {sides.min():.0f} to {sides.max():.0f} pixels."
    return chart("sizes", alt, draw, (5.4, 2.8))


def split_bars(manifest: pd.DataFrame, classes: Sequence[str]) -> Figure | None:
    """Usable images by class and split, stacked; None without labels or with more classes than can be read."""
    usable = manifest[(manifest.status == "ok") & manifest.label.notna()]
    if usable.empty or not 0 < len(classes) <= MAX_NAMES:
        return None
    counts = pd.crosstab(usable.label.astype(int), usable.split).reindex(range(len(classes)), fill_value=0)
    names = [split for split in ("train", "validation", "test", "unlabeled") if split in counts]

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes, left = canvas.subplots(), np.zeros(len(classes))
        for index, split in enumerate(names):
            axes.barh(range(len(classes)), counts[split], left=left, height=0.75, color=theme.series[index], label=split)
            left += counts[split].to_numpy()
        axes.set_yticks(range(len(classes)), [_short(name) for name in classes])
        axes.invert_yaxis()
        axes.set(xlabel="images")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        canvas.legend(loc="outside upper left", ncols=len(names))

    alt = f"Images by class and split: {int(counts.to_numpy().sum()):,} labeled images in {len(classes)} classes."
    return chart("classes", alt, draw, (5.4, 1.2 + 0.24 * len(classes)))


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
