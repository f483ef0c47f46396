"""What to label next, as a table, a CSV to fill in and a page; and what choosing is worth, where it is asked for."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ssl_pipelines.artifacts import Artifact, InputError, Record
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import SelectConfig
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.selection import everything_is_labeled, select
from ssl_pipelines.evaluation.selection_trial import trial
from ssl_pipelines.orchestration.models.scores import stage_eval_layer
from ssl_pipelines.orchestration.paths import shown
from ssl_pipelines.orchestration.stage_run import StageRun

log = logging.getLogger("ssl_pipelines")
CHOSEN = "select.csv"


def make_selection(
    store: Artifact, features: Artifact, linear_scores: Artifact, asked: SelectConfig, seed: int, stage: StageRun
) -> Artifact:
    """Raises InputError where there is nothing to choose and nothing to measure."""
    config = _fitted(asked, store, seed)
    stage = stage.of(replace(stage.parameters, blocks={**stage.parameters.blocks, "select": config}))

    def build(folder: Path, record: Record) -> None:
        from ssl_pipelines.reporting.selection import write_selection_page  # plots: a stage that is up to date needs none

        _keep_typed_labels(stage.folder / CHOSEN)
        _say_what_was_fitted(asked, config)
        layer = stage_eval_layer("select", config.eval_layer, linear_scores.path, features.path)
        if not (config.simulate and everything_is_labeled(store.path)):
            select(features.path, store.path, config, layer, seed, folder)
        scores = trial(features.path, store.path, config, layer, seed, folder) if config.simulate else []
        write_selection_page(folder, store.path, config.strategy)
        stage.tell(scores)
        if stage.tracker is not None:
            for file in sorted(folder.glob("*.*")):
                stage.tracker.file(file, "select")

    return stage.make(build)


def _fitted(config: SelectConfig, store: Artifact, seed: int) -> SelectConfig:
    opened = Store.open(store.path)
    unlabeled = int((opened.labels(opened.pretraining_ids()) < 0).sum())
    hidden = len(Frame.of(opened, seed, "select.simulate").fit) if config.simulate else config.pool
    return config.fitted(unlabeled, hidden)


def _say_what_was_fitted(asked: SelectConfig, config: SelectConfig) -> None:
    changes = [f"select.{key} {value} -> {getattr(config, key)}" for key, value in asked if value != getattr(config, key)]
    if changes:
        log.info("select: defaults that were not given fit the images: %s", "; ".join(changes))


def _keep_typed_labels(file: Path) -> None:
    """What a person has filled in is not written over."""
    if not file.is_file():
        return
    try:
        count = int(pd.read_csv(file, dtype=str)["label"].notna().sum())
        found = f"has {count} labels filled in" if count else None
    except (KeyError, ValueError):
        found = "was changed by hand"
    if found:
        raise InputError(f"{shown(file)} {found} and would be replaced: move it first; dataset.labels reads it from anywhere")
