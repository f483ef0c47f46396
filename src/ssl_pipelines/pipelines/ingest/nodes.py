"""What the stage does: one call into the core."""

from __future__ import annotations

from pathlib import Path

from ssl_pipelines.artifacts import Artifact, Record
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.training.runtime import RuntimeConfig


def ingest(dataset: DatasetConfig, seed: int, runtime: RuntimeConfig, stage: StageRun) -> Artifact:
    from ssl_pipelines.data import Store, ingest, raw_digest
    from ssl_pipelines.training.runtime import num_workers

    def build(folder: Path, record: Record) -> str:
        ingest(dataset, seed, folder, num_workers(runtime))
        return Store.open(folder).sha256  # equal images make an equal store, whatever the files' dates are

    return stage.make(build, extra={"raw files": raw_digest(dataset)})
