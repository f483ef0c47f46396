"""Tables of the page as plain rows of text: classes, splits, unusable files, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ssl_pipelines.algorithms.intervals import wilson
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.reporting.inputs import Model


@dataclass(frozen=True, slots=True)
class Table:
    """Text by row. The first column names the row; `numeric` columns stand to the right."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()


def per_class(predictions: pd.DataFrame, classes: Sequence[str]) -> Table:
    """The hardest class first: its share of right answers with Wilson's interval, and what it is taken for."""
    table = confusion(predictions, len(classes))
    rows = []
    for label in np.argsort(table.diagonal() / np.maximum(table.sum(1), 1), kind="stable"):
        n, right = int(table[label].sum()), int(table[label, label])
        if n:
            low, high = wilson(right, n)
            wrong = table[label].copy()
            wrong[label] = 0
            taken = f"{classes[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else "nothing"
            precision = right / table[:, label].sum() if table[:, label].any() else None
            rows.append((classes[label], percent(right / n), _span(low, high), percent(precision), f"{n:,}", taken))
    return Table(["Class", "Right", "95% interval", "Precision", "n", "Mostly taken for"], rows, frozenset({1, 2, 3, 4}))


def confusion(predictions: pd.DataFrame, num_classes: int) -> NDArray:
    """(K, K) counts: row the actual class, column the predicted one."""
    table = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(table, (predictions.label.to_numpy(), predictions.prediction.to_numpy()), 1)
    return table


def splits(manifest: pd.DataFrame) -> Table:
    """Usable images by split, how many of them carry a label, and the unusable files."""
    usable = manifest[manifest.status == "ok"]
    rows = []
    for split in ("train", "validation", "test", "unlabeled"):
        here = usable[usable.split == split]
        if len(here):
            rows.append((split, f"{len(here):,}", f"{int(here.label.notna().sum()):,}", f"{here.label.nunique():,}"))
    rows.append(("all", f"{len(usable):,}", f"{int(usable.label.notna().sum()):,}", f"{usable.label.nunique():,}"))
    return Table(["Split", "Images", "With label", "Classes met"], rows, frozenset({1, 2, 3}))


def class_counts(manifest: pd.DataFrame, classes: Sequence[str]) -> Table | None:
    """Usable images by class and split; None without labels."""
    usable = manifest[(manifest.status == "ok") & manifest.label.notna()]
    if usable.empty or not classes:
        return None
    counts = pd.crosstab(usable.label.astype(int), usable.split).reindex(range(len(classes)), fill_value=0)
    names = [split for split in ("train", "validation", "test", "unlabeled") if split in counts]
    rows = [(classes[label], *(f"{counts.loc[label, split]:,}" for split in names)) for label in counts.index]
    return Table(["Class", *names], rows, frozenset(range(1, len(names) + 1)))


def unusable(manifest: pd.DataFrame) -> Table | None:
    """Why files were left out, most frequent first, with an example; None if all were usable."""
    rows = manifest[manifest.status != "ok"]
    if rows.empty:
        return None
    reasons = rows.reason.fillna("no reason given").astype(str)
    text = [
        (str(reason), f"{count:,}", str(rows.path[reasons == reason].iloc[0]))
        for reason, count in reasons.value_counts().head(20).items()
    ]
    return Table(["Reason", "Files", "For example"], text, frozenset({1}))


def pairs(values: Mapping[str, Any], headers: tuple[str, str]) -> Table | None:
    """A nested mapping as name and value; None if it is empty."""
    rows = [(name, plain(value)) for name, value in flatten(dict(values)).items()]
    return Table(headers, rows) if rows else None


def seconds_per_room(seconds: Mapping[str, float]) -> Table | None:
    if not seconds:
        return None
    rows = [*seconds.items(), ("all", sum(seconds.values()))]
    return Table(["Room", "Time"], [(room, duration(value)) for room, value in rows], frozenset({1}))


def model_facts(model: Model) -> list[tuple[str, str]]:
    """Label and value of the short facts under the headline."""
    seen, speed = model.config.get("images_seen"), model.provenance.get("images_per_second")
    facts = [("Method", model.method), ("Backbone", model.backbone)]
    if seen is not None:
        facts.append(("Images drawn", f"{seen:,}"))
    if speed is not None:
        facts.append(("Images per second", f"{speed:,.0f}"))
    return facts


def upstream_facts(upstream: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """On what the model stood: ("Teacher", "simclr, linear.top1 71.2 %"); and that it has seen labels, where it has."""
    found = []
    for name, known in upstream.items():
        scores = ", ".join(f"{metric} {percent(value)}" for metric, value in known.get("scores", {}).items())
        labels = known.get("labels_seen") or 0
        parts = [str(known["method"]), scores or "no score known", f"trained on {labels:,} labels" if labels else ""]
        found.append((name.capitalize(), ", ".join(filter(None, parts))))
    return found


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return ", ".join(map(plain, value)) or "–"
    return "–" if value is None or value == {} else str(value)


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"
