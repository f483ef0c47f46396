"""The report room: the page, its numbers and figures, and a copy of them in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact, Record
from ssl_pipelines.orchestration.freshness import make
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.provenance import git_commit
from ssl_pipelines.orchestration.rooms import ROOMS
from ssl_pipelines.orchestration.session import current
from ssl_pipelines.orchestration.upstream import provenance_of
from ssl_pipelines.reporting.config import ReportConfig
from ssl_pipelines.reporting.report import report


def make_report(inputs: dict[str, Artifact], parameters: Parameters) -> Artifact:
    model, config = inputs["model"].path, parameters.block("report", ReportConfig)

    def build(folder: Path, record: Record) -> None:
        known = provenance_of(model)
        provenance = {
            "git_commit": git_commit(),
            "mlflow_run_id": known.get("mlflow_run_id"),
            "command": current().command,
            "parameters": parameters.tree(),
            "fingerprints": {name: artifact.fingerprint for name, artifact in inputs.items()},
            "seconds": {name: value for name, value in current().seconds.items() if value is not None},
            "hardware": known.get("hardware", {}),
            "versions": known.get("versions", {}),
        }
        if known.get("upstream"):
            provenance["upstream"] = {name: _as_of_now(found) for name, found in known["upstream"].items()}
        scores = inputs["linear_scores"].path
        report(inputs["store"].path, model, inputs["features"].path, scores, provenance, config, parameters.run.seed, folder)
        tracker = current().tracker
        if tracker is not None:
            tracker.open_evaluation(known, f"evaluation: {', '.join(current().asked) or 'all'}", {})
            for file in (folder / "report.html", folder / "metrics.json"):
                tracker.file(file, "report")
            for figure in sorted((folder / "figures").glob("*.png")):
                tracker.file(figure, "figures")

    return make(ROOMS["report"], parameters, {name: artifact.fingerprint for name, artifact in inputs.items()}, build)


def _as_of_now(upstream: dict[str, Any]) -> dict[str, Any]:
    """An upstream with the scores that its run has by now: it may have been evaluated after its student was trained."""
    tracker, run_id = current().tracker, upstream.get("mlflow_run_id")
    scores = tracker.scores(run_id) if tracker is not None and run_id else {}
    return upstream | {"scores": upstream["scores"] | scores}
