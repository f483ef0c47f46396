"""Several runs on one page: scores beside their baselines, paired differences, curves, what their parameters differ in, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import write_json
from ssl_pipelines.reporting import comparison_figures as figures
from ssl_pipelines.reporting.captions import caption
from ssl_pipelines.reporting.comparison_figures import RUN_COLORS
from ssl_pipelines.reporting.config import MOST_RUNS
from ssl_pipelines.reporting.diagnosis import MEASURES
from ssl_pipelines.reporting.inputs import ROOMS
from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.paired import Difference, all_pairs, best
from ssl_pipelines.reporting.pictures import read_png
from ssl_pipelines.reporting.results import PREFIX
from ssl_pipelines.reporting.standings import Run, percent, span, standings_of, tops_of
from ssl_pipelines.reporting.tables import Table, plain
from ssl_pipelines.reporting.theme import Figure

SHOWN = {
    "neighbors": "Nearest neighbors: left of each row a test image, beside it the training images whose features are nearest; green: "
    "of its class, orange: of another.",
    "map": "The test images in two dimensions, by their features.",
    "spectrum": "How the eigenvalues of the features fall.",
    "invariances": "What each augmentation does to the features.",
    "confusion": "What each class is taken for.",
}  # of the reports' figures


def compare(runs: Sequence[Run], seed: int, out: Path) -> dict[str, Any]:
    """Writes comparison.html and comparison.json into the existing empty folder `out`; returns what the latter holds."""
    assert 2 <= len(runs) <= MOST_RUNS, len(runs)
    pairs = {room: all_pairs(runs, room, seed) for room in ROOMS}
    winners = {room: best(tops_of(runs, room), pairs[room]) for room in ROOMS}
    numbers = _numbers(runs, pairs, winners)
    write_json(out / "comparison.json", numbers)
    rooms = [standings_of(room, runs, winners[room]) for room in ROOMS if tops_of(runs, room)]
    common, own = parameters(runs)
    write_page(
        out / "comparison.html",
        "comparison.html.j2",
        runs=[(run, RUN_COLORS[index]) for index, run in enumerate(runs)],
        datasets=list(dict.fromkeys(run.dataset for run in runs)),
        verdict=_verdict(runs, pairs, winners),
        rooms=rooms,
        pairs=_pair_rows(runs, pairs),
        pair_rooms=[ROOMS[room] for room in ROOMS if pairs[room]],
        standings=figures.standings(runs, tops_of),
        curves=figures.curves(runs),
        parameters=common,
        own_parameters=own,
        measures=_measures(runs),
        pictures=_pictures(runs),
        identity=_identity(runs),
    )
    return numbers


def _numbers(
    runs: Sequence[Run], pairs: Mapping[str, Mapping[tuple[int, int], Any]], winners: Mapping[str, int | None]
) -> dict[str, Any]:
    scores = {
        run.name: {
            metric: {key: row.get(key) for key in ("value", "low", "high", "n", "protocol", "chosen", "eval_layer")}
            for metric, row in run.scores.by_metric.items()
        }
        for run in runs
    }
    differences = [
        {"metric": f"{PREFIX[room]}.top1", "of": runs[i].name, "minus": runs[j].name} | _as_json(found)
        for room in ROOMS
        for (i, j), found in pairs[room].items()
    ]
    named = {f"{PREFIX[room]}.top1": runs[index].name for room, index in winners.items() if index is not None}
    return {"runs": {run.name: dict(run.identity) for run in runs}, "scores": scores, "differences": differences, "best": named}


def _as_json(found: Difference | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"why_not": found}
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "right_alone": list(found.alone)}


def _verdict(
    runs: Sequence[Run], pairs: Mapping[str, Mapping[tuple[int, int], Any]], winners: Mapping[str, int | None]
) -> tuple[str, str, str]:
    """(badge, its kind, sentence), by the linear probe, else the first room that judged two runs."""
    room = next((room for room in ROOMS if len(tops_of(runs, room)) > 1), None)
    if room is None:
        return "nothing to compare", "none", "No two of these runs were judged by the same room."
    where, tops, winner = ROOMS[room].lower(), tops_of(runs, room), winners[room]
    if winner is not None:
        second = max((index for index in tops if index != winner), key=lambda index: tops[index])
        found = _between(pairs[room], winner, second)
        assert not isinstance(found, str)
        words = f"{percent(found.value, '+')} points over {runs[second].name} (95% interval {span(found)}), the next best"
        return f"{runs[winner].name} is best", "good", f"By the {where}: {words}."
    first, second, *_ = sorted(tops, key=lambda index: -tops[index])
    says = f"By the {where} {runs[first].name} has the highest number, {percent(tops[first])}\u00a0%, but "
    apart = [runs[index].name for index in tops if index != first and isinstance(_between(pairs[room], first, index), str)]
    if apart:
        return "no best run shown", "none", f"{says}it cannot be held against {', '.join(apart)}."
    found = _between(pairs[room], first, second)
    return (
        "no best run shown",
        "none",
        f"{says}its difference from {runs[second].name} may be chance (95% interval {span(found)} points).",
    )


def _between(pairs: Mapping[tuple[int, int], Difference | str], ours: int, theirs: int) -> Difference | str:
    found = pairs[min(ours, theirs), max(ours, theirs)]
    return found if ours < theirs or isinstance(found, str) else found.turned


def _pair_rows(
    runs: Sequence[Run], pairs: Mapping[str, Mapping[tuple[int, int], Any]]
) -> list[tuple[Run, Run, list[dict[str, str]]]]:
    shown = [room for room in ROOMS if pairs[room]]
    keys = sorted({key for room in shown for key in pairs[room]})
    return [(runs[i], runs[j], [_cell(pairs[room].get((i, j))) for room in shown]) for i, j in keys]


def _cell(found: Difference | str | None) -> dict[str, str]:
    if found is None or isinstance(found, str):
        return {"value": "", "interval": found or "not judged by both", "kind": "absent", "alone": ""}
    alone = f"{found.alone[0]:,} and {found.alone[1]:,} of {found.n:,} images"
    return {
        "value": percent(found.value, "+"),
        "interval": span(found),
        "kind": ("none", "good", "bad")[found.sign],
        "alone": alone,
    }


def parameters(runs: Sequence[Run]) -> tuple[Table | None, Table | None]:
    """The keys whose values differ between runs that have them; the other keys that only some have (another method's own)."""
    keys = list(dict.fromkeys(key for run in runs for key in run.parameters))
    values = {key: [plain(run.parameters[key]) for run in runs if key in run.parameters] for key in keys}
    differing = [key for key in keys if len(set(values[key])) > 1]
    own = [key for key in keys if len(values[key]) < len(runs) and key not in differing]
    headers = ["Parameter", *(run.name for run in runs)]
    tables = [
        Table(headers, [(key, *(plain(run.parameters[key]) if key in run.parameters else "" for run in runs)) for key in chosen])
        for chosen in (differing, own)
    ]
    return tables[0] if tables[0].rows else None, tables[1] if tables[1].rows else None


def _measures(runs: Sequence[Run]) -> Table | None:
    found = [name for name in MEASURES if any(f"diagnose.{name}" in run.scores.by_metric for run in runs)]
    rows = [(MEASURES[name].title, *(_measure(run, name) for run in runs), MEASURES[name].reading) for name in found]
    return (
        Table(["Measure", *(run.name for run in runs), "How to read it"], rows, frozenset(range(1, len(runs) + 1)))
        if rows
        else None
    )


def _measure(run: Run, name: str) -> str:
    row = run.scores.by_metric.get(f"diagnose.{name}")
    return "–" if row is None else f"{row['value']:.{MEASURES[name].digits}f}"


def _pictures(runs: Sequence[Run]) -> list[tuple[str, str, list[Figure | None]]]:
    """(name, what it shows, a picture a run or None): the trainings' own first, then the reports'."""
    names = list(dict.fromkeys(name for run in runs for name in run.pictures))
    ordered = [name for name in names if name not in SHOWN] + [name for name in SHOWN if name in names]
    rows = []
    for name in ordered:
        methods = [run.method for run in runs if name in run.pictures]
        says = SHOWN.get(name) or caption(methods[0], name)
        rows.append((name, says, [_picture(run, name, says) for run in runs]))
    return rows


def _picture(run: Run, name: str, says: str) -> Figure | None:
    path = run.pictures.get(name)
    return (
        None
        if path is None
        else Figure(name, f"{run.name}: {says}", read_png(path), pixels=name == "neighbors" or name not in SHOWN)
    )


def _identity(runs: Sequence[Run]) -> Table:
    keys = list(dict.fromkeys(key for run in runs for key in run.identity))
    return Table(["", *(run.name for run in runs)], [(key, *(run.identity.get(key, "–") for run in runs)) for key in keys])
