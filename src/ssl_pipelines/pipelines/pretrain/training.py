"""A checkpointed, tracked training whose finished model takes the former one's place."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact, Record, read_json, write_json
from ssl_pipelines.artifacts.files import replace_files, sha256_of
from ssl_pipelines.artifacts.record import digest
from ssl_pipelines.data import Store
from ssl_pipelines.orchestration.mlflow.tail import Tail
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import Upstream, find_model, find_upstreams, is_reference, provenance_of
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.provenance import hardware, versions
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import Stage
from ssl_pipelines.training import launch
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.training.upstream import WEIGHTS, check_first, facts

log = logging.getLogger("ssl_pipelines")
STAGE = "pretrain"  # of the model that was asked for; those that are trained first have names of their own


def make_model(store: Artifact, gate: Artifact, asked: StageRun) -> Artifact:
    """The trained model in data/06_models; resumes where a killed run of the same fingerprint stopped.

    What it stands on and was not given (`parameters.first`) is trained first, in a folder and an MLflow run of its own.
    Defaults too large for the images of the store are made to fit, and one line says so."""
    count = len(Store.open(store.path).pretraining_ids())
    parameters = asked.parameters.for_images(count)
    stage, tracker = asked.of(parameters), asked.tracker
    start, source = _start(parameters, tracker)
    extra = {"init_from": source} if source else {}
    given = find_upstreams(parameters.run.pretrain.upstream, tracker)
    extra |= {f"upstream {name}": found.fingerprint for name, found in given.items()}
    # By what it is made from, so that a fresh model needs no look at it.
    extra |= {f"upstream {name}": stage.of(first).record().recipe for name, first in parameters.first.items()}

    def build(folder: Path, record: Record) -> None:
        upstream = given | _first_models(store, gate, stage)
        folders = {name: str(found.folder) for name, found in upstream.items()}
        changes = {"upstream": folders, "init_from": start}
        run = parameters.run.model_copy(update={"pretrain": parameters.run.pretrain.model_copy(update=changes)})
        work = folder / "checkpoints" / record.recipe[:8]
        _say_what_else_is_there(work)
        _say_what_was_fitted(parameters, count)
        run_id = None if tracker is None else _open(tracker, work, store, gate, parameters, record, upstream)
        if tracker is None:
            launch.run(run, parameters.runtime, store.path, work)
        else:
            with Tail(work / "events.jsonl", tracker):
                launch.run(run, parameters.runtime, store.path, work)
        finished = work / "final"
        measured = read_json(work / "measured.json")
        provenance: dict[str, Any] = {
            "mlflow_run_id": run_id,
            "git_commit": tracker.commit if tracker else "unknown",
            "command": stage.session.command,
        }
        provenance |= measured | {"hardware": hardware(), "versions": versions(), "fingerprint": record.recipe}
        provenance["weights"] = {name: sha256_of(finished / name) for name in WEIGHTS}
        if upstream:
            provenance["upstream"] = {name: found.describe(tracker) for name, found in upstream.items()}
        write_json(finished / "provenance.json", provenance)
        if tracker is not None:
            _log_model(tracker, finished, store, record)
        _take_place(work, finished, folder, stage.stage)
        if stage.stage.name != STAGE and tracker is not None:
            tracker.finish("FINISHED")  # the next training has a run of its own

    return stage.make(build, extra=extra)


def _say_what_was_fitted(parameters: Parameters, num_samples: int) -> None:
    """One line where defaults were changed to fit the data, none otherwise."""
    changes = parameters.run.fitted_defaults(parameters.source)
    if changes:
        run = f"{num_samples:,} training images and batches of {parameters.run.pretrain.batch_size}"
        log.info("pretrain: defaults that were not given fit %s: %s", run, "; ".join(changes))


def _first_models(store: Artifact, gate: Artifact, stage: StageRun) -> dict[str, Upstream]:
    """The models that were not given: found again by their fingerprint here or in MLflow, else trained now."""
    run, first = stage.parameters.run, stage.parameters.first
    if not first:
        return {}
    check_first(run, {name: one.run for name, one in first.items()}, data_facts(Store.open(store.path)))
    return {name: _first_model(name, store, gate, stage, one) for name, one in first.items()}


def _first_model(name: str, store: Artifact, gate: Artifact, stage: StageRun, first: Parameters) -> Upstream:
    """It is known by what it is made from, as if it had been asked for alone, so that such a run is found again here."""
    wanted_by, method, tracker = stage.parameters.run.method, first.run.method, stage.tracker
    record = stage.of(first).record()
    own = replace(stage.stage, name=f"{STAGE}.{method}", folder=f"data/.upstream/{method}-{record.recipe[:8]}")
    if not (project_root() / own.record).is_file():
        known = tracker.trained(record.recipe, record.code.digest) if tracker is not None else None
        if known is not None:
            log.info("pretrain: method=%r stands on the %s of run %s, which was trained before", wanted_by, method, known)
            return find_upstreams({name: known}, tracker)[name]
        log.info(
            "pretrain: method=%r stands on a %s, none was given: %s is trained first, as a run of its own", wanted_by, name, method
        )
    model = make_model(store, gate, stage.of(first, own))
    clean_up(model.path, model.fingerprint)
    run_id = provenance_of(model.path).get("mlflow_run_id")
    return Upstream(run_id or str(model.path), model.path, facts(model.path), run_id)


def _open(
    tracker: Tracker,
    work: Path,
    store: Artifact,
    gate: Artifact,
    parameters: Parameters,
    record: Record,
    upstream: Mapping[str, Upstream],
) -> str:
    run, data = parameters.run, Store.open(store.path)
    tags = {
        "method": run.method,
        "backbone": run.backbone.name,
        "dataset": data.name,
        "dataset.sha256": data.sha256,
        "fingerprint": record.recipe,
        "code": record.code.digest,
    }
    for name, found in upstream.items():
        tags |= {f"upstream.{name}": found.run_id or found.given, f"upstream.{name}.fingerprint": found.fingerprint}
    run_id = tracker.open_pretraining(work / "run.json", f"{run.method} on {data.name}", tags, parameters.tree())
    if not (work / "told").exists():
        profile = {
            "images": len(data.pretraining_ids()),
            "view_size": data.view_size,
            "stored_size": data.size,
            "channels": data.channels,
            "classes": len(data.classes),
        }
        tracker.dataset(data.name, data.sha256, f"{store.path.parent.name}/{store.path.name}", json.dumps(profile))
        tracker.file(gate.path / "validation.html", "validation")
        tracker.file(gate.path / "validation.json", "validation")
        (work / "told").touch()
    return run_id


def _log_model(tracker: Tracker, finished: Path, store: Artifact, record: Record) -> None:
    """The finished model is in MLflow before it is in the folder, so an overwrite loses nothing that was trained."""
    from ssl_pipelines.orchestration.mlflow.model_logging import log_encoder

    uri = log_encoder(tracker, finished, store.path)
    tracker.tags({"model_uri": uri, "fingerprint": record.recipe, "encoder.sha256": sha256_of(finished / "encoder.safetensors")})
    log.info("pretrain: the encoder is in MLflow as %s", uri)


def _take_place(work: Path, finished: Path, folder: Path, stage: Stage) -> None:
    """Moves the finished files in. The record goes first and comes last, so a kill in between leaves no model that claims to be whole."""
    shutil.copy2(work / "events.jsonl", finished / "events.jsonl")
    shutil.copytree(work / "pictures", finished / "pictures", dirs_exist_ok=True)
    replace_files(folder, finished, [project_root() / stage.record, folder / "pictures"])


def clean_up(model: Path, fingerprint: str) -> None:
    """The checkpoints of a model that stands in its place."""
    shutil.rmtree(model / "checkpoints" / fingerprint[:8], ignore_errors=True)


def _say_what_else_is_there(work: Path) -> None:
    others = [
        path.name for path in work.parent.glob("*") if path.is_dir() and path.name != work.name and any(path.glob("step-*.pt"))
    ]
    if others and not work.exists():
        log.info(
            "pretrain: starting afresh; unfinished trainings of other parameters stay in checkpoints/%s",
            ", checkpoints/".join(others),
        )


def _start(parameters: Parameters, tracker: Tracker | None) -> tuple[str | None, str | None]:
    """The folder or file that `pretrain.init_from` names, fetched where it is in MLflow, and a digest of what lies there."""
    given = parameters.run.pretrain.init_from
    if given and is_reference(given):
        found = find_model(f"pretrain.init_from={given!r}", given, tracker)
        return str(found.folder), found.fingerprint
    return given, _source_digest(Path(given)) if given else None


def _source_digest(path: Path) -> str:
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return digest([[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()])
