"""MLflow, thinly: one top-level run a pretraining, its later evaluations as children, nothing for what does not train or score."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.orchestration.mlflow import tracking_store
from ssl_pipelines.orchestration.mlflow.artifact_places import BESIDE, EXPERIMENT, TAG, place_of
from ssl_pipelines.orchestration.mlflow.tracking_store import database_of, default_store, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"  # tag of an evaluation's run
PARAMS_A_BATCH, LONGEST = 100, 6000
SCORES = ("linear.top1", "knn.top1", "finetune.top1")
log = logging.getLogger("ssl_pipelines")


class Tracker:
    """Opens a run when there is something to tell it, and closes it with what became of it."""

    def __init__(self, command: str, commit: str):
        self.command, self.commit = command, commit
        self.run_id: str | None = None
        self._client: MlflowClient | None = None
        self.uri = tracking_store.tracking_uri()

    @property
    def client(self) -> MlflowClient:
        """Raises InputError, one line, where the store does not answer."""
        if self._client is None:
            self._client = tracking_store.client_of(self.uri)
        return self._client

    def check(self) -> None:
        """Raises InputError, one line, where the store does not answer; opens nothing."""
        tracking_store.check(self.uri)

    def open_pretraining(self, note: Path, name: str, tags: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
        """THE run of a pretraining. `note` (run.json beside the checkpoints) remembers it, so that a resumed training reopens it."""
        known = read_json(note)["mlflow_run_id"] if note.is_file() else None
        if known and self._reopen(known):
            return known
        run_id = self._create(name, tags)
        self._log_params(run_id, parameters)
        write_json(note, {"mlflow_run_id": run_id})
        return run_id

    def open_evaluation(self, provenance: Mapping[str, Any], name: str, tags: Mapping[str, str]) -> str:
        """The open run, else a child of the pretraining's run; that run itself where a kill left it running."""
        if self.run_id:
            return self.run_id
        parent = self.find(str(provenance.get("mlflow_run_id") or ""))
        if parent is not None and parent.info.status == "RUNNING":
            self._reopen(parent.info.run_id)
            return parent.info.run_id
        lineage = {PARENT: parent.info.run_id} if parent is not None else {"pretraining": "not in this store"}
        return self._create(name, {**tags, **lineage})

    def metrics(self, values: Sequence[tuple[str, float, int]]) -> None:
        """(name, value, step) each, sent in batches."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        rows = [Metric(name, float(value), now, step) for name, value, step in values]
        for start in range(0, len(rows), 1000):
            self.client.log_batch(self._open(), metrics=rows[start : start + 1000])

    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(self._open(), tags=[RunTag(key, value) for key, value in values.items()])

    def file(self, path: Path, folder: str | None = None) -> None:
        self.client.log_artifact(self._open(), str(path), folder)

    def folder(self, path: Path, name: str) -> None:
        """All files of a folder, below `name`: runs:/<id>/<name>."""
        self.client.log_artifacts(self._open(), str(path), name)

    def dataset(self, name: str, digest: str, source: str, profile: str) -> None:
        """The data set as MLflow knows it, shown in the UI beside the run."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        known = Dataset(name=name, digest=digest[:32], source_type="local", source=source, profile=profile)
        self.client.log_inputs(self._open(), datasets=[DatasetInput(known, tags=[InputTag("mlflow.data.context", "pretraining")])])

    def last_steps(self, names: Sequence[str]) -> dict[str, int]:
        """The last step that MLflow has of each metric; 0 where it has none."""
        steps = {}
        for name in names:
            points = self.client.get_metric_history(self._open(), name)
            steps[name] = max((point.step for point in points), default=0)
        return steps

    def known_metrics(self) -> list[str]:
        return list(self.client.get_run(self._open()).data.metrics)

    def model_of(self, key: str, given: str) -> tuple[str, str | None]:
        """(URI of the logged model, id of the run that trained it) of a run id, runs:/ or models:/ URI. Raises InputError where there is none."""
        from mlflow.exceptions import MlflowException

        try:
            if not given.startswith("models:/"):
                run_id, _, path = given.removeprefix("runs:/").partition("/")
                run = self.find(run_id)
                uri = None if run is None else f"runs:/{run_id}/{path}" if path else run.data.tags.get("model_uri")
                if uri is None:
                    what = "no such run" if run is None else "a run without a finished model"
                    raise InputError(f"{key}: {what} in {shown(self.uri)}")
                return str(uri), run_id
            name, alias, version = _registered(given)
            if version is None and alias is None:  # models:/m-...: a logged model, registered or not
                return given, self.client.get_logged_model(name).source_run_id
            found = (
                self.client.get_model_version_by_alias(name, alias)
                if alias is not None
                else self.client.get_model_version(name, str(version))
            )
            logged = str(found.source or "").startswith("models:/m-")
            return str(found.source) if logged else f"models:/{found.name}/{found.version}", found.run_id or None
        except MlflowException as error:
            raise InputError(f"{key}: {shown(self.uri)} has no such model ({error.message})") from None

    def model_uri(self, run_id: str) -> str | None:
        """The logged model of a run; None where the run is not in this store, or has none."""
        run = self.find(run_id)
        return None if run is None else run.data.tags.get("model_uri")

    def trained(self, fingerprint: str, code: str) -> str | None:
        """The id of a run whose finished model was made from these parameters, this data and this code; the newest."""
        found = self.client.get_experiment_by_name(EXPERIMENT)
        query = f"tags.fingerprint = '{fingerprint}' and tags.code = '{code}'"
        runs = [] if found is None else self.client.search_runs([found.experiment_id], query)
        return next((run.info.run_id for run in runs if "model_uri" in run.data.tags), None)

    def download(self, key: str, uri: str, folder: Path) -> None:
        """All files of a logged model. Raises InputError where they cannot be had."""
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            with default_store(self.uri):
                download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.uri, registry_uri=self.uri)
        except (MlflowException, OSError) as error:
            raise InputError(f"{key}: {uri} cannot be fetched from {shown(self.uri)} ({error})") from None

    def scores(self, run_id: str) -> dict[str, float]:
        """The top-1 scores of a pretraining: its own, and its later evaluations', the newest last."""
        values, _ = self.judged(run_id)
        return {name: values[name] for name in SCORES if name in values}

    def judged(self, run_id: str) -> tuple[dict[str, float], dict[str, str]]:
        """Metrics and tags of a pretraining's run and of its later evaluations, the newest last; `run_id` may be one of the latter."""
        run = self.find(run_id)
        if run is None:
            return {}, {}
        if PARENT in run.data.tags:
            return self.judged(run.data.tags[PARENT])
        query = f"tags.`{PARENT}` = '{run_id}'"
        children = self.client.search_runs([run.info.experiment_id], query, order_by=["attributes.start_time ASC"])
        metrics = {name: value for one in [run, *children] for name, value in one.data.metrics.items()}
        about = {
            name: value
            for one in children
            for name, value in one.data.tags.items()
            if name.startswith(("protocol.", "eval_layer.", "stage."))
        }
        return metrics, {**run.data.tags, **about}

    def finish(self, status: str) -> None:
        """FINISHED, FAILED or KILLED, for whichever run is open."""
        run_id, self.run_id = self.run_id, None
        if run_id is None:
            return
        try:
            self.check()  # MLflow's own client would try for minutes
        except InputError as error:
            log.warning("MLflow: run %s stays open, it ended as %s: %s", run_id, status, error)
            return
        self.client.set_terminated(run_id, status=status)

    def _open(self) -> str:
        assert self.run_id is not None, "no run is open"
        return self.run_id

    def _create(self, name: str, tags: Mapping[str, str]) -> str:
        whence = {
            "command": self.command,
            "git_commit": self.commit,
            "mlflow.runName": name,
            "mlflow.source.name": "kedro run",
            "mlflow.source.type": "LOCAL",
        }
        whence |= {key: os.environ[key] for key in ("DVC_EXP_NAME", "DVC_STAGE") if key in os.environ}
        run = self.client.create_run(self._experiment(), tags={**whence, **tags}, run_name=name)
        self.run_id = run.info.run_id
        return run.info.run_id

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        client, database = self.client, database_of(self.uri)
        with tracking_store.alone_in(self.uri):
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is not None:
                return found.experiment_id
            # So that the UI opens on runs and curves, not on prompts.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            if database is None:  # a server decides for itself where artifacts go
                return client.create_experiment(EXPERIMENT, tags=tags)
            return client.create_experiment(EXPERIMENT, artifact_location=place_of(database), tags=tags | {TAG: BESIDE})

    def _reopen(self, run_id: str) -> bool:
        if self.find(run_id) is None:
            return False
        self.client.update_run(run_id, status="RUNNING")
        self.run_id = run_id
        return True

    def find(self, run_id: str) -> Any:
        """The run of that id; None where this store has none."""
        from mlflow.exceptions import MlflowException

        if not run_id:
            return None
        try:
            return self.client.get_run(run_id)
        except MlflowException:
            return None

    def _log_params(self, run_id: str, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        rows = [Param(key, str(value)[:LONGEST]) for key, value in flatten(dict(parameters)).items()]
        for start in range(0, len(rows), PARAMS_A_BATCH):
            self.client.log_batch(run_id, params=rows[start : start + PARAMS_A_BATCH])


def _registered(uri: str) -> tuple[str, str | None, str | None]:
    """models:/name@alias or models:/name/version -> name, alias, version."""
    name = uri.removeprefix("models:/")
    if "@" in name:
        name, _, alias = name.partition("@")
        return name, alias, None
    name, _, version = name.partition("/")
    return name, None, version or None
