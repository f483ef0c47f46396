"""What the stage does: the page, its numbers and figures, and a copy of them in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact, Record
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import provenance_of
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.reporting.config import ReportConfig


def report(
    store: Artifact,
    gate: Artifact,
    model: Artifact,
    features: Artifact,
    linear_scores: Artifact,
    knn_scores: Artifact,
    diagnosis: Artifact,
    finetune_scores: Artifact,
    report: ReportConfig,
    seed: int,
    stage: StageRun,
) -> Artifact:
    """metrics.json and report.html of all scores, which lie in one folder."""
    from ssl_pipelines.reporting import report as core

    def build(folder: Path, record: Record) -> None:
        provenance = _provenance(model, record, stage)
        core.report(store.path, model.path, features.path, linear_scores.path, provenance, report, seed, folder)
        if stage.tracker is not None:
            stage.tracker.open_evaluation(provenance_of(model.path), stage.session.title, {})
            for file in (folder / "report.html", folder / "metrics.json"):
                stage.tracker.file(file, "report")
            for figure in sorted((folder / "figures").glob("*.png")):
                stage.tracker.file(figure, "figures")

    return stage.make(build)


def _provenance(model: Artifact, record: Record, stage: StageRun) -> dict[str, Any]:
    from ssl_pipelines.orchestration.provenance import git_commit

    known = provenance_of(model.path)
    found = {
        "git_commit": git_commit(),
        "mlflow_run_id": known.get("mlflow_run_id"),
        "command": stage.session.command,
        "parameters": stage.parameters.tree(),
        "fingerprints": record.inputs,
        "seconds": {name: value for name, value in stage.session.seconds.items() if value is not None},
        "hardware": known.get("hardware", {}),
        "versions": known.get("versions", {}),
    }
    upstream = known.get("upstream")
    return found | ({"upstream": {name: _as_of_now(one, stage.tracker) for name, one in upstream.items()}} if upstream else {})


def _as_of_now(upstream: dict[str, Any], tracker: Tracker | None) -> dict[str, Any]:
    """An upstream with the scores that its run has by now: it may have been evaluated after its student was trained."""
    run_id = upstream.get("mlflow_run_id")
    scores = tracker.scores(run_id) if tracker is not None and run_id else {}
    return upstream | {"scores": upstream["scores"] | scores}
