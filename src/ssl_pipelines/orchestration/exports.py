"""The export tool: any model of this project as files that other programs read, with a card that says what it is worth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import InputError, Record, new_folder, read_json, write_json
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.evaluation.export.config import ExportConfig
from ssl_pipelines.evaluation.export.formats import ENCODER, ONNX, TIMM, Exported, export
from ssl_pipelines.evaluation.export.images import COUNT
from ssl_pipelines.methods.registry import TABLE
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import home_root, lock_of, project_root
from ssl_pipelines.orchestration.rooms import ROOMS
from ssl_pipelines.orchestration.session import current
from ssl_pipelines.orchestration.upstream import Upstream, chosen_model, provenance_of
from ssl_pipelines.reporting.model_card import write_model_card
from ssl_pipelines.training.model import HEAD, read_description
from ssl_pipelines.training.upstream import fingerprint

log = logging.getLogger("ssl_pipelines")
NOTE, CARD = "export.json", "README.md"
WRITTEN = {NOTE, CARD, "config.json", ENCODER, ONNX, TIMM}  # all that an export has: nothing else is overwritten
SCORED = {"linear_eval": "linear.", "knn_eval": "knn.", "finetune": "finetune."}
WHAT = {ENCODER: "the weights of the encoder, with config.json", ONNX: "the graph, normalization within", TIMM: "timm's names"}


@dataclass(frozen=True, slots=True)
class Known:
    """A model folder and what its evaluations say of it."""

    folder: Path
    run_id: str | None
    commit: str
    rows: Sequence[Mapping[str, Any]]
    stage: str | None  # that was judged
    why_no_rows: str


def make_export(parameters: Parameters) -> None:
    config = parameters.block("export", ExportConfig)
    target = home_root() / config.folder
    found = {path.name for path in target.iterdir()} if target.is_dir() else {target.name} if target.exists() else set()
    if found and (NOTE not in found or not found <= WRITTEN):
        other = min(found - WRITTEN, default=min(found))
        raise InputError(f"export.folder={config.folder!r} holds something that is no export ({other}); give another, or empty it")
    known = _known(chosen_model("export", config.model, parameters))
    stage = config.stage or known.stage
    with only_writer(lock_of("export", target)), new_folder(target) as fresh:
        made = export(known.folder, None if stage == "final" else stage, project_root() / ROOMS["ingest"].folder, fresh)
        _write_card(fresh / CARD, known, made, config)
        body = {"fingerprint": fingerprint(known.folder), "mlflow_run_id": known.run_id, "stage": stage or "final", "dim": made.dim}
        write_json(fresh / NOTE, body | {"largest_difference": made.differences, "missing": made.missing})
    for name, values in made.differences.items():
        log.info("export: %s/%s (at most %.1g from the trained network)", config.folder, name, max(values.values()))
    for name, reason in made.missing.items():
        log.warning("export: no %s: %s", name, reason)
    log.info("export: %s/README.md says what it is, what it is worth and how to load it", config.folder)


def _known(model: Upstream) -> Known:
    folder, run_id, tracker = model.folder, model.run_id, current().tracker
    metrics, tags = tracker.judged(run_id) if tracker is not None and run_id else ({}, {})
    commit = str(provenance_of(folder).get("git_commit") or tags.get("git_commit", "unknown"))
    if (folder / HEAD).is_file():
        return Known(folder, run_id, commit, [], None, "it was fine-tuned on labels, and its run knows the scores of before alone")
    local = _local_rows() if folder.resolve() == (project_root() / ROOMS["pretrain"].folder).resolve() else []
    rows = local or _rows_of(metrics, tags)
    stage = next((row["stage"] for row in rows if row.get("stage")), None) or tags.get("stage.linear_eval")
    judged_here = read_description(folder)["judged_at"] == "best" and stage is None
    why = "no evaluation of these weights was found" + ("; its best stage is not known, so it is the last" if judged_here else "")
    return Known(folder, run_id, commit, rows, stage, why)


def _local_rows() -> list[dict[str, Any]]:
    """The score files that lie here, where they are of the model that lies here."""
    root = project_root()
    model = Record.read(root / ROOMS["pretrain"].record)
    features = Record.read(root / ROOMS["extract_features"].record)
    if model is None:
        return []
    rows: list[dict[str, Any]] = []
    for name in SCORED:
        record = Record.read(root / ROOMS[name].record)
        if record is None:
            continue
        of_model = record.inputs.get("model") == model.fingerprint
        of_features = features is not None and record.inputs.get("features") == features.fingerprint
        if of_model or (of_features and features is not None and features.inputs.get("model") == model.fingerprint):
            rows += read_json(root / ROOMS[name].folder / f"{name}.json")
    return rows


def _rows_of(metrics: Mapping[str, float], tags: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    for room, prefix in SCORED.items():
        for name in (name for name in metrics if name.startswith(prefix) and not name.endswith(("_low", "_high"))):
            ends = {end: metrics.get(f"{name}_{end}") for end in ("low", "high")}
            rows.append({"metric": name, "value": metrics[name], **ends, "protocol": tags.get(f"protocol.{room}")})
    return rows


def _write_card(path: Path, known: Known, made: Exported, config: ExportConfig) -> None:
    about = made.description
    entry = TABLE[about["parameters"]["method"]]
    chosen = (
        " (chosen by hand)" if config.stage else " (chosen on validation)" if about["judged_at"] == "best" and known.stage else ""
    )
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
        stage=made.stage,
        stage_words=chosen,
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
