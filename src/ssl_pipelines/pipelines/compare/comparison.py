"""The compare tool: gathers what MLflow, or another checkout, keeps of finished runs, and writes the page of them."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ssl_pipelines.artifacts import InputError, Record, new_folder
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.data import Store
from ssl_pipelines.orchestration.mlflow.runs import NAME, SCORES, Finished, Runs, logged_parameters
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import shown
from ssl_pipelines.orchestration.paths import home_root, project_root
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.reporting.comparison import SHOWN, compare
from ssl_pipelines.reporting.comparison_figures import CURVES
from ssl_pipelines.reporting.config import MOST_RUNS, CompareConfig
from ssl_pipelines.reporting.inputs import Model, Scores
from ssl_pipelines.reporting.standings import Run

KEY, FOLDER, PAGE = "compare.runs", "data/09_compare", "comparison.html"
PICTURES, FIGURES = "pictures", "figures"
NOT_COMPARED = ("runtime.", "report.", "compare.")  # they decide no number
log = logging.getLogger("ssl_pipelines")


def write_comparison(config: CompareConfig, seed: int, tracker: Tracker) -> None:
    """data/09_compare/comparison.html. Raises InputError, one line, for runs that are not there or have nothing to compare."""
    if len(config.runs) == 1:
        raise InputError(f"{KEY}={list(config.runs)}: one run alone is no comparison; allowed are 2 to {MOST_RUNS}")
    with tempfile.TemporaryDirectory() as place:
        found = _named(config.runs, tracker, Path(place)) if config.runs else _newest(config.newest, tracker, Path(place))
        runs, root = _distinct(found), project_root()
        with only_writer(root / "data" / ".locks" / "compare.lock"), new_folder(root / FOLDER) as fresh:
            compare(runs, seed, fresh)
    log.info("compare: %s on one page: %s", ", ".join(run.name for run in runs), f"{FOLDER}/{PAGE}")


def _named(given: Sequence[str], tracker: Tracker, place: Path) -> list[Run]:
    runs, found = Runs(tracker), []
    for index, name in enumerate(given):
        checkout = _checkout(name)
        key = f"{KEY}[{index}]"
        found.append(
            _of_checkout(key, checkout)
            if checkout
            else _of_mlflow(key, runs.find(key, name, ", a checkout's folder"), runs, place / str(index))
        )
    seen: dict[tuple[str, ...], str] = {}
    for name, run in zip(given, found, strict=True):
        same = seen.setdefault(tuple(run.identity.values()), name)
        if same != name or given.count(name) > 1:
            raise InputError(f"{KEY}: {same!r} and {name!r} are the same run")
    return found


def _newest(count: int, tracker: Tracker, place: Path) -> list[Run]:
    runs = Runs(tracker)
    found = runs.newest(count)
    if len(found) < 2:
        raise InputError(
            f"{KEY}=[] takes the newest finished runs that have scores, and {shown(tracker.uri)} has {len(found)}; 2 at least are compared"
        )
    return [_of_mlflow(KEY, one, runs, place / one.id) for one in found]


def _of_mlflow(key: str, finished: Finished, runs: Runs, place: Path) -> Run:
    tracker = runs.tracker
    runs.fetch(finished, (SCORES, PICTURES, FIGURES), place)
    tags, run_id = finished.pretraining.data.tags, finished.id
    scores = _scores(key, place / SCORES, f"run {run_id}")
    curves = {name: _curve(tracker, run_id, name) for name in CURVES if name in finished.pretraining.data.metrics}
    started = datetime.fromtimestamp(finished.pretraining.info.start_time / 1000, UTC)
    identity = {
        "MLflow run": run_id,
        "Name": tags.get(NAME, "–"),
        "DVC experiment": finished.experiment or "–",
        "Started": f"{started:%Y-%m-%d %H:%M} UTC",
        "Ended as": finished.pretraining.info.status,
        "Evaluated by": ", ".join(dict.fromkeys(run.info.run_id[:8] for run in finished.evaluations[1:])) or "the same run",
        "Commit": tags.get("git_commit", "–"),
        "Command": tags.get("command", "–"),
        "Data, sha256": tags.get("dataset.sha256", "–"),
        "Model": tags.get("model_uri", "–"),
    }
    return Run(
        finished.experiment or tags.get("method", "–"),
        tags.get("method", "–"),
        tags.get("dataset", "–"),
        tags.get("dataset.sha256", run_id),
        _compared(logged_parameters(finished) | _recorded(place / SCORES)),
        scores,
        curves,
        _pictures(place / PICTURES, place / FIGURES),
        identity,
    )


def _checkout(given: str) -> Path | None:
    """The root of a checkout, for its folder or its metrics.json; None where `given` is no path."""
    path = home_root() / given
    if path.name == "metrics.json":
        return path.resolve().parents[2] if path.is_file() else None
    return path.resolve() if path.is_dir() else None


def _of_checkout(key: str, root: Path) -> Run:
    """What stands in the folders of a checkout, this one (.) or another."""
    stages = project_stages()
    model, folder = Model(root / stages["pretrain"].folder), root / stages["linear_eval"].folder
    if not (model.folder / "config.json").is_file():
        raise InputError(f"{key}={str(root)!r} is a folder without a model of this project in {stages['pretrain'].folder}")
    store = Store.open(root / stages["ingest"].folder)
    known = model.provenance
    identity = {
        "MLflow run": str(known.get("mlflow_run_id") or "–"),
        "Folder": str(root),
        "Commit": str(known.get("git_commit", "–")),
        "Command": str(known.get("command", "–")),
        "Data, sha256": store.sha256,
    }
    recorded = {
        name: value
        for stage in ("ingest", "validate", "pretrain", "extract_features")
        if (record := Record.read(root / stages[stage].record))
        for name, value in record.parameters.items()
    }
    return Run(
        root.name,
        model.method,
        store.name,
        store.sha256,
        _compared(recorded | _recorded(folder)),
        _scores(key, folder, str(root)),
        {name: curve for name in CURVES if len(curve := model.curve(name))},
        _pictures(model.folder / "pictures", root / stages["report"].folder / "figures"),
        identity,
    )


def _scores(key: str, folder: Path, whose: str) -> Scores:
    scores = Scores(folder)
    if not scores.rooms:
        raise InputError(f"{key}: {whose} has no scores: evaluate it first (kedro run --pipeline=linear_eval)")
    return scores


def _recorded(folder: Path) -> dict[str, Any]:
    """The parameters of the stages that scored: a later evaluation may have had others than the pretraining's command."""
    found = [record for path in sorted(folder.glob("*.record.json")) if (record := Record.read(path)) is not None]
    return {name: value for record in found for name, value in record.parameters.items()}


def _compared(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sorted(parameters.items()) if not name.startswith(NOT_COMPARED)}


def _curve(tracker: Tracker, run_id: str, name: str) -> pd.DataFrame:
    points = tracker.client.get_metric_history(run_id, name)
    table = pd.DataFrame({"step": [point.step for point in points], "value": [point.value for point in points]})
    return table.sort_values("step", kind="stable").reset_index(drop=True)


def _pictures(own: Path, figures: Path) -> dict[str, Path]:
    """The training's pictures, and of the report's figures those that differ between runs in what they show."""
    made = {path.stem: path for path in sorted(own.glob("*.png"))}
    return made | {name: path for name in SHOWN if (path := figures / f"{name}.png").is_file()}


def _distinct(runs: Sequence[Run]) -> list[Run]:
    """With a name of its own for each: with the beginning of its id, where two would share one; numbered, where even that is shared."""
    shared = {name for name, count in Counter(run.name for run in runs).items() if count > 1}
    named = [replace(run, name=f"{run.name} {run.identity['MLflow run'][:8]}") if run.name in shared else run for run in runs]
    seen: Counter[str] = Counter()
    found = []
    for run in named:
        seen[run.name] += 1
        found.append(run if seen[run.name] == 1 else replace(run, name=f"{run.name} ({seen[run.name]})"))
    return found
