"""One call into the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact, Record


def ingest_images(parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.data import DatasetConfig, Store, ingest, raw_digest
    from ssl_pipelines.orchestration.freshness import make
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.rooms import ROOMS
    from ssl_pipelines.training.runtime import num_workers

    typed = Parameters.of(parameters)
    config = typed.block("dataset", DatasetConfig)

    def build(folder: Path, record: Record) -> str:
        ingest(config, typed.run.seed, folder, num_workers(typed.runtime))
        return Store.open(folder).sha256  # equal images make an equal store, whatever the files' dates are

    return make(ROOMS["ingest"], typed, {}, build, extra={"raw files": raw_digest(config)})
