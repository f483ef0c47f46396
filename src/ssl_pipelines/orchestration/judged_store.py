"""A store outside the rooms: ingested once for its raw files and settings, and behind a gate of its own."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import InputError, Record, new_folder, read_json
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import DatasetConfig, Store, ingest, raw_digest
from ssl_pipelines.orchestration.validation import failed_lines, validate
from ssl_pipelines.orchestration.validation_config import ValidateConfig

log = logging.getLogger("ssl_pipelines")
RECORD = "record.json"


def open_judged(config: DatasetConfig, seed: int, folder: Path, checks: ValidateConfig, workers: int, key: str) -> Store:
    """The store in `folder`/store, made anew where its files or settings have changed; judged anew where it or `checks` have.

    `key` is whose data it is, for log and errors. Raises InputError where the gate stays closed; the page in `folder`/gate says why.
    The caller keeps others from writing there."""
    values = flatten({"dataset": config.model_dump(mode="json", exclude={"root"}), "seed": seed})
    wanted = Record(values, {"raw files": raw_digest(config)})
    if _differs(folder / RECORD, wanted):
        log.info("%s: reading %s", key, config.root or config.name or config.reader)
        with new_folder(folder) as fresh:
            (fresh / "store").mkdir()
            ingest(config, seed, fresh / "store", workers)
            wanted.write(fresh / RECORD)
    store = Store.open(folder / "store")
    judged = Record(flatten({"checks": checks.model_dump(mode="json")}), {"store": store.sha256})
    if _differs(folder / "gate" / RECORD, judged):
        with new_folder(folder / "gate") as fresh:
            validate(store.folder, checks, fresh)
            judged.write(fresh / RECORD)
    failures = failed_lines(read_json(folder / "gate" / "validation.json")["outcomes"], "critical")
    if failures:
        raise InputError(f"{key}: the data does not pass the gate: {'; '.join(failures)}")
    return store


def _differs(path: Path, wanted: Record) -> bool:
    found = Record.read(path)
    return found is None or found.recipe != wanted.recipe
