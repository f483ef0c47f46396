"""What the stage does: the store is judged, and a failed critical expectation ends the command before anything trains on it."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import Artifact, InputError, Record, read_json
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.validation.config import ValidateConfig

log = logging.getLogger("ssl_pipelines")


def validate(store: Artifact, validate: ValidateConfig, stage: StageRun) -> Artifact:
    """Raises InputError where a critical expectation fails, also when an earlier run judged the store."""
    from ssl_pipelines.orchestration.validation.validate import failed_lines
    from ssl_pipelines.orchestration.validation.validate import validate as judge

    def build(folder: Path, record: Record) -> str:
        passed = not failed_lines(judge(store.path, validate, folder), "critical")
        return digest(["gate", store.fingerprint, passed])  # a changed threshold that changes no verdict makes nothing stale

    made = stage.make(build)
    outcomes = read_json(made.path / "validation.json")["outcomes"]
    for line in failed_lines(outcomes, "warning"):
        log.warning("validate: warning: %s", line)
    failures = failed_lines(outcomes, "critical")
    for line in failures:
        log.error("validate: failed: %s", line)
    if failures:
        page = f"{stage.stage.folder}/validation.html"
        raise InputError(f"validate: {len(failures)} critical expectation(s) failed, the run stops before pretraining; see {page}")
    return made
