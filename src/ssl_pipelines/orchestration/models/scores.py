"""What is known of a finished model's scores: the files that lie here, or what MLflow remembers; and the eval layer that follows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Record, read_json
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.evaluation.eval_layer import recorded_eval_layer
from ssl_pipelines.evaluation.protocols import eval_layer_of
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import Upstream
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.training.model import HEAD

SCORED = {"linear_eval": "linear.", "knn_eval": "knn.", "finetune": "finetune."}
DECIDES = ("linear.top1", "knn.top1")  # the first that is there says which layer a model is read at
log = logging.getLogger("ssl_pipelines")
Rows = Sequence[Mapping[str, Any]]


def scores_of(model: Upstream, tracker: Tracker | None) -> tuple[Rows, Mapping[str, str]]:
    """(scores, tags of its runs): the score files that lie here where they are of this model, else what MLflow has; both may be empty.

    A network that was fine-tuned on labels has none: its run knows the scores of before alone."""
    metrics, tags = tracker.judged(model.run_id) if tracker is not None and model.run_id else ({}, {})
    if (model.folder / HEAD).is_file():
        return [], tags
    here = model.folder.resolve() == (project_root() / project_stages()["pretrain"].folder).resolve()
    return (_local_rows() if here else []) or _remembered(metrics, tags), tags


def scored_eval_layer(rows: Rows) -> str | None:
    """The layer that the linear probe's score, else kNN's, was made at."""
    found = {row["metric"]: eval_layer_of(row) for row in rows}
    return next((found[name] for name in DECIDES if found.get(name)), None)


def model_eval_layer(block: str, wanted: str | None, model: Upstream, tracker: Tracker | None) -> str:
    """The layer at which the tool `block` reads a finished model, and a line in the log that says why this one.

    `wanted`: what `<block>.eval_layer` says; it is not checked here."""
    if wanted is not None:
        return _said(block, wanted, f"as {block}.eval_layer says")
    fixed = recorded_eval_layer(model.folder)
    if fixed is not None:
        return _said(block, fixed, "which the model records")
    scored = scored_eval_layer(scores_of(model, tracker)[0])
    if scored is not None:
        return _said(block, scored, "at which the model was scored")
    return _unknown(block, "no evaluation of this model is known")


def stage_eval_layer(block: str, wanted: str | None, linear_scores: Path, described_in: Path) -> str:
    """The layer that a stage after linear_eval reads, and a line in the log that says why this one.

    `described_in`: the model folder, or that of its features: both say whether the method fixes the layer (`judged_at`)."""
    if wanted is not None:
        return _said(block, wanted, f"as {block}.eval_layer says")
    name = next(name for name in ("config.json", "stages.json") if (described_in / name).is_file())
    if read_json(described_in / name)["judged_at"] == FINAL:
        return _said(block, FINAL, "which the method fixes")
    path = linear_scores / "linear_eval.json"
    scored = scored_eval_layer(read_json(path)) if path.is_file() else None
    if scored is not None:
        return _said(block, scored, "at which linear_eval scored the model")
    return _unknown(block, "linear_eval had no labels to choose one by")


def _said(block: str, layer: str, why: str) -> str:
    log.info("%s: eval layer %s, %s", block, layer, why)
    return layer


def _unknown(block: str, why: str) -> str:
    log.warning("%s: eval layer %s, what `encode` gives: %s", block, FINAL, why)
    return FINAL


def _local_rows() -> list[dict[str, Any]]:
    """The score files that lie here, where they are of the model that lies here."""
    root, stages = project_root(), project_stages()
    model = Record.read(root / stages["pretrain"].record)
    features = Record.read(root / stages["extract_features"].record)
    if model is None:
        return []
    rows: list[dict[str, Any]] = []
    for name in SCORED:
        record = Record.read(root / stages[name].record)
        if record is None:
            continue
        of_model = record.inputs.get("model") == model.fingerprint
        of_features = features is not None and record.inputs.get("features") == features.fingerprint
        if of_model or (of_features and features is not None and features.inputs.get("model") == model.fingerprint):
            rows += read_json(root / stages[name].folder / f"{name}.json")
    return rows


def _remembered(metrics: Mapping[str, float], tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Scores as MLflow has them, their protocols as sentences; runs of earlier versions tagged the layer `stage.<name>`."""
    rows: list[dict[str, Any]] = []
    for stage, prefix in SCORED.items():
        layer = tags.get(f"eval_layer.{stage}") or tags.get(f"stage.{stage}")
        for name in (name for name in metrics if name.startswith(prefix) and not name.endswith(("_low", "_high"))):
            ends = {end: metrics.get(f"{name}_{end}") for end in ("low", "high")}
            judged = {"protocol": tags.get(f"protocol.{stage}"), "eval_layer": layer if name == f"{prefix}top1" else None}
            rows.append({"metric": name, "value": metrics[name], **ends, **judged})
    return rows
