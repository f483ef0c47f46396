"""The earlier runs that a training stands on, from wherever the user points: a model folder, an MLflow run id, a registry URI or alias.

The core is given folders. What comes out of MLflow is kept below data/.upstream, under the id of what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import InputError, new_folder, read_json
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.evaluation.finetune import NETWORK
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.paths import home_root, lock_of, project_root
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.training.upstream import facts

WAIT = 600.0  # seconds for another run that fetches the same model
RUN_ID = re.compile(r"[0-9a-f]{32}")
ALLOWED = "allowed: a model folder, an MLflow run id, models:/<name>@<alias>, models:/<name>/<version>, runs:/<id>/finetuned"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One earlier model: as the user named it, the folder it lies in, what is known of it, and the run that trained it."""

    given: str
    folder: Path
    facts: Mapping[str, Any]
    run_id: str | None

    @property
    def fingerprint(self) -> str:
        return str(self.facts["fingerprint"])

    def describe(self, tracker: Tracker | None) -> dict[str, Any]:
        """For provenance and report: its facts, its run, and the scores that MLflow knows of that run by now."""
        scores = tracker.scores(self.run_id) if tracker is not None and self.run_id else {}
        return {"given": self.given, "mlflow_run_id": self.run_id, **self.facts, "scores": scores}


def is_reference(given: str) -> bool:
    """Does it name something in MLflow, rather than a folder?"""
    return given.startswith(("models:/", "runs:/")) or RUN_ID.fullmatch(given) is not None


def in_full(given: str, name: str) -> str:
    """@champion -> models:/<name>@champion; whatever else stays."""
    return f"models:/{name}{given}" if given.startswith("@") else given


def place_of(given: str, name: str) -> str:
    """A reference into MLflow in full, or an absolute path; `name`: of the model whose aliases @<alias> are."""
    given = in_full(given, name)
    return given if is_reference(given) else str(home_root() / given)


def find_upstreams(given: Mapping[str, str], tracker: Tracker | None) -> dict[str, Upstream]:
    """Raises InputError, one line, for what is not there, holds no model of this project, or is about to be overwritten."""
    found = {}
    for name, value in given.items():
        key = f"pretrain.upstream.{name}={value!r}"
        found[name] = find_model(key, value, tracker)
        instead = None if is_reference(value) else _our_own(found[name].folder, found[name].run_id)
        if instead:
            raise InputError(f"{key} is where this project's next model will lie: give {instead} instead")
    return found


def find_model(key: str, given: str, tracker: Tracker | None) -> Upstream:
    """The model that `given` names. Raises InputError, one line that begins with `key`, for what is not there or is no model of this project."""
    uri, run_id = check_model(key, given, tracker)
    if uri is None:
        folder = Path(given)
        return Upstream(given, folder, facts(folder), provenance_of(folder).get("mlflow_run_id"))
    assert tracker is not None
    folder = _fetched(key, uri, tracker)
    return Upstream(given, folder, facts(folder), run_id)


def check_model(key: str, given: str, tracker: Tracker | None) -> tuple[str | None, str | None]:
    """(URI, run) of a model in MLflow, (None, None) for a folder; fetches nothing, reads no weights. Raises InputError as `find_model`."""
    if is_reference(given):
        if tracker is None:
            raise InputError(f"{key}: there is no MLflow store here; {ALLOWED}")
        return tracker.model_of(key, given)
    missing = next((name for name in ("config.json", "encoder.safetensors") if not (Path(given) / name).is_file()), None)
    if missing:
        raise InputError(f"{key} is no model folder: {missing} is missing there; {ALLOWED}")
    return None, None


def provenance_of(model: Path) -> Mapping[str, Any]:
    path = model / "provenance.json"
    found: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _our_own(folder: Path, run_id: str | None) -> str | None:
    """For a folder that the stages write themselves, so that a student would take its teacher's place: what to give instead."""
    stages = project_stages()
    for stage, below, uri in ((stages["pretrain"], "", "{}"), (stages["finetune"], NETWORK, "runs:/{}/" + NETWORK)):
        if folder.resolve() == (project_root() / stage.folder / below).resolve():
            return f"{uri.format(run_id)} (from MLflow), or a copy of it," if run_id else "a copy of it"
    return None


def _fetched(key: str, uri: str, tracker: Tracker) -> Path:
    """The model folder within a logged model, which never changes, or within other artifacts, which are fetched anew."""
    place = project_root() / "data" / ".upstream" / re.sub(r"[^\w.-]+", "_", uri.partition(":/")[2])
    if not (place.is_dir() and uri.startswith("models:/m-")):
        with only_writer(lock_of("download", place), wait=WAIT), new_folder(place) as fresh:
            tracker.download(key, uri, fresh)
    for description in sorted(place.rglob("config.json")):
        if (description.parent / "encoder.safetensors").is_file():
            return description.parent
    raise InputError(f"{key}: {uri} holds no model of this project (config.json and encoder.safetensors)")
