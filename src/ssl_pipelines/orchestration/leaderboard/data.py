"""The data of a board: ingested and judged once, by the functions of the rooms ingest and validate."""

from __future__ import annotations

import logging
from pathlib import Path

from ssl_pipelines.artifacts import InputError, Record, new_folder
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.data import DatasetConfig, Store, ingest, raw_digest
from ssl_pipelines.orchestration.leaderboard.budgets import Budget
from ssl_pipelines.orchestration.validation import failed_lines, validate
from ssl_pipelines.orchestration.validation_config import ValidateConfig
from ssl_pipelines.training.runtime import RuntimeConfig, num_workers

log = logging.getLogger("ssl_pipelines")


def open_store(budget: Budget, data: str, work: Path) -> Store:
    """The store below `work`, made anew where the files of `data` have changed. Raises InputError where the gate stays closed."""
    config = DatasetConfig.of(dict(budget.dataset) | {"root": data}, "dataset")
    runtime = RuntimeConfig.of(budget.blocks.get("runtime"), "runtime")
    values = flatten({"dataset": config.model_dump(mode="json", exclude={"root"}), "seed": budget.seed})
    wanted = Record(values, {"raw files": raw_digest(config)})
    folder = work / "data"
    found = Record.read(folder / "record.json")
    if found is None or found.recipe != wanted.recipe:
        log.info("leaderboard: reading %s", data)
        with new_folder(folder) as fresh:
            for name in ("store", "gate"):
                (fresh / name).mkdir()
            ingest(config, budget.seed, fresh / "store", num_workers(runtime))
            failures = failed_lines(validate(fresh / "store", ValidateConfig(), fresh / "gate"), "critical")
            if failures:
                raise InputError(f"leaderboard: the data does not pass the gate: {'; '.join(failures)}")
            wanted.write(fresh / "record.json")
    return Store.open(folder / "store")
