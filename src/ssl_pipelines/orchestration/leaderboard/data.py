"""The data of a board: ingested and judged once, by the functions of the stages ingest and validate."""

from __future__ import annotations

from pathlib import Path

from ssl_pipelines.data import DatasetConfig, Store
from ssl_pipelines.orchestration.leaderboard.budgets import Budget
from ssl_pipelines.orchestration.validation.config import ValidateConfig
from ssl_pipelines.orchestration.validation.judged_store import open_judged
from ssl_pipelines.training.runtime import RuntimeConfig, num_workers


def open_store(budget: Budget, data: str, work: Path) -> Store:
    """The store below `work`, made anew where the files of `data` have changed. Raises InputError where the gate stays closed."""
    config = DatasetConfig.of(dict(budget.dataset) | {"root": data}, "dataset")
    runtime = RuntimeConfig.of(budget.blocks.get("runtime"), "runtime")
    return open_judged(config, budget.seed, work / "data", ValidateConfig(), num_workers(runtime), "leaderboard")
