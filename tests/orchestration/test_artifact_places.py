"""A project that is moved or copied keeps its runs and models, and writes to its own folder alone."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service import utils

from ssl_pipelines.orchestration.mlflow.artifact_places import COLUMNS, TAG
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import default_store, uri_of
from ssl_pipelines.orchestration.mlflow.tracking_store import main as print_uri


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input


class Place:
    """A project's folder, and what a command in it does with MLflow."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        monkeypatch.chdir(folder)
        utils._artifact_repos_cache.clear()  # of this process, which is several commands here
        self.tracker = Tracker("a test", "a commit")

    def train(self) -> str:
        """A run with a file and a registered model."""
        tracker = self.tracker
        run = tracker.open_evaluation({}, "a run", {})
        (self.folder / "note.txt").write_text("x")
        tracker.file(self.folder / "note.txt")
        with default_store(tracker.uri), mlflow.start_run(run_id=run):
            info = mlflow.pyfunc.log_model(name="encoder", python_model=Echo(), pip_requirements=[])
            tracker.client.create_registered_model(run)
            tracker.client.create_model_version(run, info.model_uri, run, model_id=info.model_id)
        tracker.client.set_registered_model_alias(run, "champion", "1")
        tracker.client.update_run(run, status="RUNNING")
        tracker.tags({"model_uri": info.model_uri})
        tracker.finish("FINISHED")
        return run

    def fetched(self, key: str) -> list[str]:
        """The names of the files of a model."""
        uri, _ = self.tracker.model_of("model", key)
        out = self.folder / "fetched"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        self.tracker.download("model", uri, out)
        return sorted(path.name for path in out.rglob("*") if path.is_file())


def all_places(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlflow.db") as opened:
        return [str(row[0]) for table, column in COLUMNS for row in opened.execute(f"SELECT {column} FROM {table}")]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "old home" / "project").mkdir(parents=True)
    return tmp_path / "old home" / "project"


@pytest.mark.parametrize("name", ["renamed", "50%20off?", "deeper/down/the tree"])
def test_a_moved_project_keeps_its_models_and_writes_to_its_own_folder(project, tmp_path, monkeypatch, capsys, name):
    run = Place(project, monkeypatch).train()
    target = tmp_path / name
    target.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path)
    project.rename(target)
    project.parent.rmdir()
    project.parent.write_text("a file where the project was")
    moved = Place(target, monkeypatch)
    for key in (run, f"runs:/{run}/note.txt", f"models:/{run}@champion", f"models:/{run}/1"):
        assert ("note.txt" if key.startswith("runs:") else "MLmodel") in moved.fetched(key), key
    again = moved.train()
    assert (target / "mlartifacts" / again / "artifacts" / "note.txt").is_file()
    capsys.readouterr()
    print_uri(f"models:/{run}@champion")
    with default_store(moved.tracker.uri):  # as `make serve` does
        assert mlflow.pyfunc.load_model(capsys.readouterr().out.strip()).predict(["a"]) == ["a"]
    assert not any("old%20home" in place or "old home" in place for place in all_places(target))


def test_a_copy_reads_and_writes_its_own_files(project, tmp_path, monkeypatch):
    run = Place(project, monkeypatch).train()
    shutil.copytree(project, tmp_path / "copy")
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    (tmp_path / "copy/mlartifacts" / run / "artifacts/only here.txt").write_text("x")
    copy = Place(tmp_path / "copy", monkeypatch)
    assert [file.path for file in copy.tracker.client.list_artifacts(run)] == ["note.txt", "only here.txt"]
    copy.train()
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before
    original = Place(project, monkeypatch)
    assert [file.path for file in original.tracker.client.list_artifacts(run)] == ["note.txt"]


def test_a_store_made_before_places_were_tagged_follows_too(project, tmp_path, monkeypatch):
    run = Place(project, monkeypatch).train()
    with sqlite3.connect(project / "mlflow.db") as opened:
        opened.execute("DELETE FROM experiment_tags WHERE key = ?", (TAG,))
    project.rename(tmp_path / "renamed")
    assert "MLmodel" in Place(tmp_path / "renamed", monkeypatch).fetched(run)


def test_a_database_that_several_checkouts_share_moves_with_its_artifacts(project, tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri_of(tmp_path / "shared" / "all.db"))
    run = Place(project, monkeypatch).train()
    assert (tmp_path / "shared/mlartifacts" / run).is_dir()
    assert not (project / "mlartifacts").exists()
    (tmp_path / "shared").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri_of(tmp_path / "elsewhere" / "all.db"))
    assert "MLmodel" in Place(project, monkeypatch).fetched(run)
    assert not (tmp_path / "shared").exists()


def test_artifacts_that_were_kept_elsewhere_stay_there(project, tmp_path, monkeypatch):
    uri = uri_of(project / "mlflow.db")
    place = (tmp_path / "large disk").as_uri()
    MlflowClient(tracking_uri=uri).create_experiment("ssl_pipelines", artifact_location=place)
    run = Place(project, monkeypatch).train()
    assert (tmp_path / "large disk" / run / "artifacts/note.txt").is_file()
    assert not (project / "mlartifacts").exists()


def test_a_linked_database_is_at_home_where_it_lies(project, tmp_path, monkeypatch):
    run = Place(project, monkeypatch).train()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlflow.db").symlink_to(project / "mlflow.db")
    assert "MLmodel" in Place(other, monkeypatch).fetched(run)
    assert "MLmodel" in Place(project, monkeypatch).fetched(run)
