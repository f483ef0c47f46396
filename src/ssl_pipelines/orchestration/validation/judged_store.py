"""A store outside the pipeline: ingested once for its raw files and settings, and behind a gate of its own."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import InputError, Record, read_json
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import DatasetConfig, Store, ingest, raw_digest
from ssl_pipelines.orchestration.freshness.make import Place, make
from ssl_pipelines.orchestration.validation.config import ValidateConfig
from ssl_pipelines.orchestration.validation.validate import failed_lines, validate

log = logging.getLogger("ssl_pipelines")
RECORD = "record.json"


def open_judged(config: DatasetConfig, seed: int, folder: Path, checks: ValidateConfig, workers: int, key: str) -> Store:
    """The store in `folder`/store, made anew where its files or settings have changed; judged anew where it or `checks` have.

    `key` is whose data it is, for log and errors. Raises InputError where the gate stays closed; the page in `folder`/gate says why.
    The caller keeps others from writing there."""

    def read(fresh: Path, record: Record) -> None:
        log.info("%s: reading %s", key, config.root or config.name or config.reader)
        (fresh / "store").mkdir()
        ingest(config, seed, fresh / "store", workers)

    values = flatten({"dataset": config.model_dump(mode="json", exclude={"root"}), "seed": seed})
    make(Place(key, folder, folder / RECORD), Record(values, {"raw files": raw_digest(config)}), read)
    store, gate = Store.open(folder / "store"), folder / "gate"

    def judge(fresh: Path, record: Record) -> None:
        validate(store.folder, checks, fresh)

    judged = Record(flatten({"checks": checks.model_dump(mode="json")}), {"store": store.sha256})
    make(Place(f"{key}, validation", gate, gate / RECORD), judged, judge)
    failures = failed_lines(read_json(gate / "validation.json")["outcomes"], "critical")
    if failures:
        raise InputError(f"{key}: the data does not pass the gate: {'; '.join(failures)}")
    return store
