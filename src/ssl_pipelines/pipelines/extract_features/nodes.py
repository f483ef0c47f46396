"""What the stage does: features are made, then judged like any other data."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import Artifact, InputError, Record, read_json
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.training.runtime import RuntimeConfig

log = logging.getLogger("ssl_pipelines")


def extract_features(
    store: Artifact, model: Artifact, extract_features: ExtractConfig, seed: int, runtime: RuntimeConfig, stage: StageRun
) -> Artifact:
    """Features of every split. Raises InputError, leaving the former ones, when they are not finite or not of the announced shape."""
    from ssl_pipelines.evaluation import features
    from ssl_pipelines.evaluation.likelihood import FILE, PREFIX
    from ssl_pipelines.evaluation.scores import Score
    from ssl_pipelines.orchestration.validation.validate import check_features, failed_lines

    def build(folder: Path, record: Record) -> None:
        features.extract_features(model.path, store.path, extract_features, seed, runtime, folder)
        outcomes = check_features(folder)
        for line in failed_lines(outcomes, "warning"):
            log.warning("extract_features: warning: %s", line)
        failures = failed_lines(outcomes, "critical")
        if failures:
            raise InputError(f"extract_features: {'; '.join(failures)}")
        if (folder / FILE).is_file():
            stage.tell([Score(**row) for row in read_json(folder / FILE)], PREFIX)
            stage.keep([folder / FILE], record)

    return stage.make(build)
