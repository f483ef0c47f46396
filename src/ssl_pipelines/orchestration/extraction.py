"""The extract_features room: features are made, then judged like any other data."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import Artifact, InputError, Record, read_json
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.features import extract_features
from ssl_pipelines.evaluation.likelihood import FILE, PREFIX
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.orchestration.freshness import make
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.rooms import ROOMS
from ssl_pipelines.orchestration.scoring import keep, tell
from ssl_pipelines.orchestration.validation import check_features, failed_lines

log = logging.getLogger("ssl_pipelines")


def make_features(store: Artifact, model: Artifact, parameters: Parameters) -> Artifact:
    """Features of every split. Raises InputError, leaving the former ones, when they are not finite or not of the announced shape."""

    def build(folder: Path, record: Record) -> None:
        extract_features(
            model.path,
            store.path,
            parameters.block("extract_features", ExtractConfig),
            parameters.run.seed,
            parameters.runtime,
            folder,
        )
        outcomes = check_features(folder)
        for line in failed_lines(outcomes, "warning"):
            log.warning("extract_features: warning: %s", line)
        failures = failed_lines(outcomes, "critical")
        if failures:
            raise InputError(f"extract_features: {'; '.join(failures)}")
        if (folder / FILE).is_file():
            tell(PREFIX, [Score(**row) for row in read_json(folder / FILE)])
            keep([folder / FILE], ROOMS["extract_features"], record)

    return make(ROOMS["extract_features"], parameters, {"store": store.fingerprint, "model": model.fingerprint}, build)
