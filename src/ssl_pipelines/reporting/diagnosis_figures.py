"""Two pictures of the diagnosis: how the eigenvalues fall, and what each augmentation does to the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullFormatter

from ssl_pipelines.reporting.theme import Figure, Theme, chart

LINES = {"trained": "pretrained", "random_init/0": "random initialization"}
NOTHING = 1e-10  # eigenvalues below this share of the largest are rounding


def spectrum(spectra: pd.DataFrame, exponents: Mapping[str, float]) -> Figure | None:
    """Each eigenvalue's share of the variance against its rank, both in logarithms.   spectra: source, rank, eigenvalue."""
    lines = {}
    for source, name in LINES.items():
        rows = spectra[spectra.source == source]
        rows = rows[rows.eigenvalue > NOTHING * rows.eigenvalue.max()]
        if len(rows) > 1:
            said = f"{name}, alpha {exponents[source]:.2f}" if source in exponents else name
            lines[said] = rows["rank"].to_numpy(), (rows.eigenvalue / rows.eigenvalue.sum()).to_numpy()
    if not lines:
        return None

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        for color, (said, (rank, share)) in zip(theme.series, lines.items(), strict=False):
            axes.loglog(rank, share, color=color, label=said)
        axes.set(title="How the eigenvalues fall", xlabel="rank", ylabel="share of the variance")
        for axis in (axes.xaxis, axes.yaxis):  # the usual labels are formulas, which the theme does not parse
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.grid(axis="both")
        canvas.legend(loc="outside lower center", ncols=1)

    said = "; ".join(f"{name}: the first holds {100 * share[0]:.1f} % of the variance" for name, (_, share) in lines.items())
    caption = "The straighter the line, the better one exponent describes it; a line that drops early uses few directions."
    return chart("spectrum", f"Eigenvalues against their rank on logarithmic axes. {said}.", draw, (5.4, 3.8), caption)


def invariances(
    found: Mapping[str, Mapping[str, Any]], networks: Mapping[str, str], titles: Mapping[str, str], reference: str
) -> Figure | None:
    """A point a transform and network, and a dashed line a network where different images stand.

    `found`: measure -> its score; `networks`: prefix of its measures -> name; `titles`: measure -> what was done."""
    shown = [name for name in titles if name in found]
    if not shown:
        return None
    of = {
        prefix: [(y, found[f"{prefix}{name}"]) for y, name in enumerate(shown) if f"{prefix}{name}" in found] for prefix in networks
    }

    def draw(canvas: Canvas, theme: Theme) -> None:
        axes = canvas.subplots()
        for index, (prefix, points) in enumerate(of.items()):
            color, shift = theme.series[index], 0.22 * (index - 1)
            if not points:
                continue
            values = np.array([row["value"] for _, row in points])
            ends = np.array(
                [[row.get(end) if row.get(end) is not None else row["value"] for _, row in points] for end in ("low", "high")]
            )
            axes.errorbar(
                values, [y + shift for y, _ in points], xerr=np.abs(ends - values), fmt="o", color=color, markersize=6, capsize=2,
                label=networks[prefix].lower(),
            )  # fmt: skip
            if f"{prefix}{reference}" in found:
                axes.axvline(found[f"{prefix}{reference}"]["value"], color=color, linestyle="--", linewidth=1.2)
        axes.set_yticks(range(len(shown)), [titles[name] for name in shown])
        axes.invert_yaxis()
        axes.set(title="An image and its transformed self", xlabel="mean cosine of their features")
        axes.set_xlim(right=1.02)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        canvas.legend(loc="outside lower center", ncols=3, columnspacing=1.0, handletextpad=0.3)

    said = "; ".join(f"{titles[name]} {found[name]['value']:.2f}" for name in shown)
    before = f", different images {found[reference]['value']:.2f}" if reference in found else ""
    caption = (
        "Dashed: the mean cosine of different images. A point there means that the change matters as much as being another image."
    )
    alt = f"Mean cosine of an image's features before and after each transform, pretrained: {said}{before}."
    return chart("invariances", alt, draw, (5.4, 1.8 + 0.42 * len(shown)), caption)
