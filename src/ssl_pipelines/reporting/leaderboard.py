"""The leaderboard: a file a row; from the rows one page, one list and a picture a budget. Numbers in, text and pictures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ssl_pipelines.algorithms.intervals import span
from ssl_pipelines.artifacts import Config, InputError, new_file, read_json, write_json
from ssl_pipelines.reporting.leaderboard_figures import board_chart, curves_chart
from ssl_pipelines.reporting.tables import duration, percent

ROWS, PAGE, LIST = "leaderboard", "leaderboard.md", "leaderboard.json"  # below docs/


class Proof(Config):
    """That a row's numbers hold for other code than it was made by: a small training by both ended in equal bits."""

    before: str
    """Commit whose code the row stood for."""
    after: str
    """Commit whose code the row stands for since."""
    samples: int
    """Training samples of the trial."""
    samples_seen: int
    """Samples drawn in the trial."""
    weights: str
    """sha256 of all weights and buffers, equal at both commits."""
    history: str
    """sha256 of the training's history, equal at both commits."""
    scores: str
    """sha256 of both probes' scores and answers, equal at both commits."""


class Row(Config):
    """One method at one budget. Scores are fractions of the test images, memory is in bytes; null is what was never reached."""

    method: str
    family: str
    dataset: str
    budget: str
    encoder: str
    eval_layer: str | None = None
    """The layer whose features the linear probe judged."""
    images_seen: int | None = None
    views_seen: int | None = None
    seconds: float | None = None  # of training, over all its sittings
    images_per_second: float | None = None
    peak_memory: int | None = None  # while training
    threads: int | None = None  # of the CPU, while training
    linear_top1: float | None = None
    random_init_top1: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    knn_top1: float | None = None
    seed: int
    fingerprint: str  # of all parameters and the data
    code: str  # of the method's code
    verdict: Literal["learns", "miss", "bug"]
    reason: str | None = None  # of a miss or a bug
    proofs: tuple[Proof, ...] = ()
    """What carried the row from the code that made it to the code that it stands for; empty for one that was made by today's."""

    @property
    def name(self) -> tuple[str, str]:
        return self.budget, self.method

    def write(self, docs: Path) -> None:
        write_json(row_file(docs, self.budget, self.method), self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class Section:
    """A budget in words, and the methods of which it has no row."""

    budget: str
    title: str
    protocol: str
    absent: Sequence[str] = ()


def row_file(docs: Path, budget: str, method: str) -> Path:
    return docs / ROWS / budget / f"{method}.json"


def curve_file(docs: Path, budget: str, method: str) -> Path:
    """CSV, which a reader of the repository sees as a table and a comparison of commits line by line."""
    return docs / ROWS / budget / f"{method}.csv"


def read_rows(docs: Path) -> list[Row]:
    """Every row below `docs`. Raises InputError for a file that is none, or that stands in another's place."""
    rows = []
    for path in sorted((docs / ROWS).glob("*/*.json")):
        row = Row.of(read_json(path), str(path))
        if row_file(docs, *row.name) != path:
            raise InputError(f"{path} holds the row of method={row.method!r} at budget={row.budget!r}: it is in the wrong place")
        rows.append(row)
    return rows


def write_curve(path: Path, history: pd.DataFrame) -> None:
    """history: step, name, value -> a column a name, a line a step."""
    wide = history.pivot_table(index="step", columns="name", values="value")
    with new_file(path) as partial:
        wide.to_csv(partial, float_format="%.6g")


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The highest linear top-1 first; what has none last, by name."""
    return sorted(rows, key=lambda row: (row.linear_top1 is None, -(row.linear_top1 or 0), row.method))


def write_board(docs: Path, rows: Sequence[Row], stale: AbstractSet[tuple[str, str]], sections: Sequence[Section]) -> None:
    """leaderboard.md, leaderboard.json and two pictures for every budget that has rows."""
    by_budget = {section.budget: ranked([row for row in rows if row.budget == section.budget]) for section in sections}
    shown = [section for section in sections if by_budget[section.budget]]
    listed = [row for section in shown for row in by_budget[section.budget]]
    write_json(docs / LIST, [row.model_dump(mode="json") | {"stale": row.name in stale} for row in listed])
    (docs / ROWS).mkdir(parents=True, exist_ok=True)
    for section in shown:
        ours = by_budget[section.budget]
        board_chart(ours, {method for budget, method in stale if budget == section.budget}).save(docs / ROWS)
        curves = curves_chart(section.budget, {row.method: _curve(docs, row) for row in ours})
        if curves is not None:
            curves.save(docs / ROWS)
    with new_file(docs / PAGE) as partial:
        partial.write_text(page(docs, by_budget, stale, shown), encoding="utf-8")


def _curve(docs: Path, row: Row) -> pd.DataFrame | None:
    path = curve_file(docs, *row.name)
    return pd.read_csv(path) if path.is_file() else None


HEAD = """# Leaderboard

Made by `make leaderboard` from one file a row (`docs/leaderboard/<budget>/<method>.json`); [leaderboard.json](leaderboard.json) has
them all in one list. Within a budget every method sees the same data, draws the same number of images, and has the same encoder but for
those that need a ViT. One seed: the interval is over test images, not over trainings, so neighbors in the table are no order.

**Linear** is the linear probe's top-1 on the test images, **random init** the same encoder's with fresh weights (mean of its seeds), **gain**
their difference with its 95% interval (paired bootstrap over test images). A method **learns** where that whole interval lies above 0; it is a
**miss** where not, with the reason below; a **bug** ended its own training or failed. **Stale** is a row of which something that it
runs has changed since: the method, the training loop, the optimizers, the probes, or what these name. A row that was **carried** (see its file)
has its numbers from an earlier commit whose code trains to the same bits (`kedro leaderboard --carry COMMIT`).
Time and memory are those of training, on the machine
where it ran; times of other numbers of CPU **threads** do not compare.
"""


def page(
    docs: Path, by_budget: Mapping[str, Sequence[Row]], stale: AbstractSet[tuple[str, str]], sections: Sequence[Section]
) -> str:
    """The page in Markdown."""
    parts = [HEAD]
    if not sections:
        parts.append("No row yet.\n")
    for section in sections:
        parts.append(_section(docs, section, by_budget[section.budget], stale))
    return "\n".join(parts)


def _section(docs: Path, section: Section, rows: Sequence[Row], stale: AbstractSet[tuple[str, str]]) -> str:
    budget, data = section.budget, ", ".join(dict.fromkeys(row.dataset for row in rows))
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("learns", "miss", "bug")}
    said = [f"{counts['learns']} of {len(rows)} learn", f"{counts['miss']} miss" if counts["miss"] else ""]
    said += [f"{counts['bug']} with a bug" if counts["bug"] else ""]
    old = [row.method for row in rows if row.name in stale]
    lines = [f"## {section.title}", "", f"{data}; {section.protocol} **{', '.join(filter(None, said))}.**"]
    lines += ["", f"Stale, to be made again: {', '.join(old)}."] if old else []
    lines += ["", f"No row yet: {', '.join(section.absent)}."] if section.absent else []
    lines += ["", f"![Linear top-1, gain, images a second, memory and time of each method](leaderboard/{budget}.png)", ""]
    lines += [
        "| | method | family | encoder | linear | random init | gain [95%] | kNN | images | threads | images/s | memory | time | verdict |",
        "|--:|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    lines += [_line(place, row, row.name in stale) for place, row in enumerate(rows, start=1)]
    reasons = [row for row in rows if row.reason]
    if reasons:
        lines += ["", *(f"- **{row.method}** ({row.verdict}): {row.reason}" for row in reasons)]
    if any(curve_file(docs, *row.name).is_file() for row in rows):
        lines += ["", f"![Loss and kNN of each method against the step](leaderboard/{budget}-curves.png)"]
    return "\n".join([*lines, ""])


def _line(place: int, row: Row, stale: bool) -> str:
    gain = "–"
    if row.gain is not None and row.gain_low is not None and row.gain_high is not None:
        gain = f"{100 * row.gain:+.1f} {span(row.gain_low, row.gain_high)}"
    encoder = row.encoder if row.eval_layer in (None, "final") else f"{row.encoder}, {row.eval_layer}"
    cells = [
        str(place) if row.linear_top1 is not None else "–",
        f"[{row.method}](leaderboard/{row.budget}/{row.method}.json)",
        row.family,
        encoder,
        percent(row.linear_top1),
        percent(row.random_init_top1),
        gain,
        percent(row.knn_top1),
        "–" if row.images_seen is None else f"{row.images_seen:,}",
        "–" if row.threads is None else str(row.threads),
        "–" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
        "–" if row.peak_memory is None else f"{row.peak_memory / 1e9:.1f} GB",
        "–" if row.seconds is None else duration(row.seconds),
        f"{row.verdict}, stale" if stale else row.verdict,
    ]
    return f"| {' | '.join(cells)} |"
