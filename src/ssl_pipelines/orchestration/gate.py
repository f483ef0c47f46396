"""The validate room: the store is judged, and a failed critical expectation stops the run before anything trains on it."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import Artifact, InputError, Record, read_json
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.orchestration.freshness import make
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.rooms import ROOMS
from ssl_pipelines.orchestration.validation import failed_lines, validate
from ssl_pipelines.orchestration.validation_config import ValidateConfig

log = logging.getLogger("ssl_pipelines")


def make_gate(store: Artifact, parameters: Parameters) -> Artifact:
    """The judged store's gate. Raises InputError when it is closed, also when an earlier run judged it."""

    def build(folder: Path, record: Record) -> str:
        outcomes = validate(store.path, parameters.block("validate", ValidateConfig), folder)
        passed = not failed_lines(outcomes, "critical")
        return digest(["gate", store.fingerprint, passed])  # a changed threshold that changes no verdict makes nothing stale

    made = make(ROOMS["validate"], parameters, {"store": store.fingerprint}, build)
    outcomes = read_json(made.path / "validation.json")["outcomes"]
    for line in failed_lines(outcomes, "warning"):
        log.warning("validate: warning: %s", line)
    failures = failed_lines(outcomes, "critical")
    for line in failures:
        log.error("validate: failed: %s", line)
    if failures:
        page = f"{ROOMS['validate'].folder}/validation.html"
        raise InputError(f"validate: {len(failures)} critical expectation(s) failed, the run stops before pretraining; see {page}")
    return made
