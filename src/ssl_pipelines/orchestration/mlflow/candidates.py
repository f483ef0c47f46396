"""How many models the same test images have judged: the more of them compete, the more the best one owes to chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ssl_pipelines.evaluation.contest import METRIC
from ssl_pipelines.orchestration.mlflow.artifact_places import EXPERIMENT
from ssl_pipelines.orchestration.mlflow.registry import DATA, WEIGHTS, Registry
from ssl_pipelines.orchestration.mlflow.tracking import PARENT, Tracker

DATASET = "dataset.sha256"  # tag of a pretraining's run


def candidates_judged(registry: Registry, sha256: str) -> int:
    """Trainings that a linear probe has scored on the store `sha256`: runs of this MLflow store, and registered versions of other runs."""
    tracker = registry.tracker
    scored = {_root(run) for run in _runs(tracker, f"metrics.`{METRIC}` >= 0")}
    trained = {run.info.run_id for run in _runs(tracker, f"tags.`{DATASET}` = '{sha256}'")}
    counted = scored & trained
    versions = [one for one in registry.versions if one.tags.get(DATA) == sha256]
    others = {one.tags.get(WEIGHTS) for one in versions if _root_of(tracker, one.run_id) not in counted}
    return len(counted) + len(others)


def _runs(tracker: Tracker, query: str) -> Iterator[Any]:
    experiment = tracker.client.get_experiment_by_name(EXPERIMENT)
    token = None
    while experiment is not None:
        page = tracker.client.search_runs([experiment.experiment_id], query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _root(run: Any) -> str:
    """The pretraining's run of an evaluation, or the run itself."""
    tags: Mapping[str, str] = run.data.tags
    return str(tags.get(PARENT, run.info.run_id))


def _root_of(tracker: Tracker, run_id: str | None) -> str | None:
    run = tracker.find(run_id or "")
    return None if run is None else _root(run)
