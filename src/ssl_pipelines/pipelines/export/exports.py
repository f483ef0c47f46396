"""The export tool: any model of this project as files that other programs read, with a card that says what it is worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import InputError, new_folder, write_json
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.evaluation.export.config import ExportConfig
from ssl_pipelines.evaluation.export.formats import ENCODER, METHOD, ONNX, TIMM, Exported, export
from ssl_pipelines.evaluation.export.images import COUNT
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.choice import Models
from ssl_pipelines.orchestration.models.named import Upstream, provenance_of
from ssl_pipelines.orchestration.models.scores import scored_eval_layer, scores_of
from ssl_pipelines.orchestration.paths import home_root, lock_of, project_root
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.reporting.model_card import write_model_card
from ssl_pipelines.training.model import HEAD
from ssl_pipelines.training.upstream import fingerprint

log = logging.getLogger("ssl_pipelines")
NOTE, CARD = "export.json", "README.md"
WRITTEN = {NOTE, CARD, "config.json", ENCODER, METHOD, ONNX, TIMM}  # all that an export has: nothing else is overwritten
WHAT = {ENCODER: "the weights of the encoder, with config.json", ONNX: "the graph, normalization within", TIMM: "timm's names"}


@dataclass(frozen=True, slots=True)
class Known:
    """A model folder and what its evaluations say of it."""

    folder: Path
    run_id: str | None
    commit: str
    rows: Sequence[Mapping[str, Any]]
    eval_layer: str  # that the export gives
    why_no_rows: str


def make_export(config: ExportConfig, models: Models) -> None:
    target = home_root() / config.folder
    found = {path.name for path in target.iterdir()} if target.is_dir() else {target.name} if target.exists() else set()
    if found and (NOTE not in found or not found <= WRITTEN):
        other = min(found - WRITTEN, default=min(found))
        raise InputError(f"export.folder={config.folder!r} holds something that is no export ({other}); give another, or empty it")
    model = models.chosen("export", config.model)
    known = _known(model, models.eval_layer("export", config.eval_layer, model), models.tracker)
    with only_writer(lock_of("export", target)), new_folder(target) as fresh:
        made = export(known.folder, known.eval_layer, project_root() / project_stages()["ingest"].folder, fresh)
        _write_card(fresh / CARD, known, made, config)
        body = {"fingerprint": fingerprint(known.folder), "mlflow_run_id": known.run_id, "eval_layer": made.eval_layer}
        write_json(fresh / NOTE, body | {"dim": made.dim, "largest_difference": made.differences, "missing": made.missing})
    for name, values in made.differences.items():
        log.info("export: %s/%s (at most %.1g from the trained network)", config.folder, name, max(values.values()))
    for name, reason in made.missing.items():
        log.warning("export: no %s: %s", name, reason)
    log.info("export: %s/README.md says what it is, what it is worth and how to load it", config.folder)


def _known(model: Upstream, layer: str, tracker: Tracker | None) -> Known:
    rows, tags = scores_of(model, tracker)
    commit = str(provenance_of(model.folder).get("git_commit") or tags.get("git_commit", "unknown"))
    tuned = (model.folder / HEAD).is_file()
    why = (
        "it was fine-tuned on labels, and its run knows the scores of before alone"
        if tuned
        else "no evaluation of these weights was found"
    )
    return Known(model.folder, model.run_id, commit, rows, layer, why)


def _write_card(path: Path, known: Known, made: Exported, config: ExportConfig) -> None:
    about = made.description
    entry = TABLE[about["parameters"]["method"]]
    scored = scored_eval_layer(known.rows)
    judged = ", at which it was scored" if made.eval_layer == scored else f" (its scores are of `{scored}`)" if scored else ""
    files = [
        (name, WHAT[name], ", ".join(f"{value:.1g} at batch {count}" for count, value in values.items()))
        for name, values in made.differences.items()
    ]
    write_model_card(
        path,
        known.rows,
        method=about["parameters"]["method"],
        paper=entry.paper,
        data={"sha256": "unknown", "fit": "square", **about["data"]},
        channels=about["data"]["channels"],
        size=about["image_size"],
        dim=made.dim,
        eval_layer=made.eval_layer,
        layer_words=judged,
        loader="load_method" if (path.parent / METHOD).is_file() else "load_encoder",
        backbone=about["backbone"]["name"],
        parameters=about["backbone"]["parameters"],
        images_seen=about["images_seen"],
        views_seen=about["views_seen"],
        labels_seen=about.get("labels_seen", 0),
        upstream=about.get("upstream", {}),
        fingerprint=fingerprint(known.folder),
        commit=known.commit,
        run_id=known.run_id or "none",
        no_scores=known.why_no_rows,
        files=files,
        images=COUNT,
        missing=made.missing,
        has_onnx=ONNX in made.differences,
        timm_code=made.timm_code,
        mean=made.mean,
        std=made.std,
    )
