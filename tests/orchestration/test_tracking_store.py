"""The MLflow store: its URI for any folder name, a server or database that does not answer, and first starts at the same moment."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.orchestration.mlflow import tracking_store
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.mlflow.tracking_store import (
    check,
    client_of,
    database_of,
    fault,
    locks_of,
    make_ready,
    shown,
    uri_of,
)

NAMES = ["plain", "with space", "a#b", "50%20off", "50%off", "what?x=1", "a&b;c", "größe", "it's", 'a"b', "$HOME", "a+b", "a:b@c"]


@pytest.fixture
def closed_port() -> int:
    """Nothing listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_any_folder_may_hold_the_database(in_folder, monkeypatch, name):
    folder = in_folder / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    tracker = Tracker("a test", "a commit")
    assert database_of(tracker.uri) == folder / "mlflow.db"
    tracker.open_evaluation({}, "a run", {})
    (folder / "note.txt").write_text("x")
    tracker.file(folder / "note.txt")
    run = tracker.run_id
    tracker.finish("FINISHED")
    assert (folder / "mlflow.db").is_file()
    assert sorted(path.name for path in in_folder.iterdir()) == [name], "nothing beside the project"
    found = MlflowClient(tracking_uri=tracker.uri)
    assert [file.path for file in found.list_artifacts(run)] == ["note.txt"]
    assert (folder / "mlartifacts" / run / "artifacts" / "note.txt").is_file()


def test_an_ordinary_path_stays_readable():
    assert uri_of(Path("/home/me/my-project_2/mlflow.db")) == "sqlite:////home/me/my-project_2/mlflow.db"


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (uri_of(Path("/a b/mlflow.db")), "sqlite:////a b/mlflow.db"),
        ("postgresql://me:secret@db.example:5432/mlflow", "postgresql://me:***@db.example:5432/mlflow"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_messages_show_a_path_in_plain_letters_and_no_password(uri, text):
    assert shown(uri) == text


def test_one_lock_for_all_who_share_a_database(in_folder, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared") / "fresh.db"
    assert locks_of(uri_of(shared)) == shared.parent / ".locks"
    assert locks_of(tracking_store.tracking_uri()) == in_folder / "data" / ".locks"


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql", "mysql+pymysql"])
def test_a_server_that_is_down_is_said_at_once(in_folder, closed_port, scheme):
    began = time.monotonic()
    with pytest.raises(InputError, match=rf"^MLFLOW_TRACKING_URI='{scheme.replace('+', '.')}:.*the MLflow store cannot be reached"):
        client_of(f"{scheme}://me:secret@127.0.0.1:{closed_port}/x")
    assert time.monotonic() - began < 6


def test_a_server_that_never_answers_is_left_after_seconds(in_folder, monkeypatch):
    monkeypatch.setattr(tracking_store, "ANSWER", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(InputError, match=r"cannot be reached .*timed out"):
            check(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(("code", "reached"), [(200, True), (401, True), (404, True), (503, False)])
def test_any_answer_but_a_gateways_is_one(in_folder, code, reached):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.handle_request, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    if reached:
        check(uri)
    else:
        with pytest.raises(InputError, match="503"):
            check(uri)
    server.server_close()


def test_an_unknown_scheme_is_one_line(in_folder):
    with pytest.raises(InputError, match=r"^MLFLOW_TRACKING_URI='htp://x' cannot be opened by MLflow: [^\n]*$"):
        client_of("htp://x")


def test_a_locked_database_is_waited_for_then_said(in_folder, monkeypatch):
    uri = uri_of(in_folder / "mlflow.db")
    make_ready(uri)
    monkeypatch.setattr(tracking_store, "FREE", 0.3)
    other = sqlite3.connect(in_folder / "mlflow.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match=r"^the MLflow database .*mlflow\.db cannot be opened: another program has kept it locked"):
        check(uri)
    monkeypatch.setattr(tracking_store, "FREE", 20)
    threading.Timer(1, other.rollback).start()
    check(uri)
    other.close()


@pytest.mark.parametrize("content", [b"this is no database, but a text that somebody put here" * 20, None])
def test_something_else_in_its_place_is_one_line(in_folder, content):
    place = in_folder / "mlflow.db"
    place.mkdir() if content is None else place.write_bytes(content)
    with pytest.raises(InputError, match=r"^the MLflow database .*mlflow\.db cannot be opened: "):
        client_of(uri_of(place))


def test_a_fault_of_the_store_is_one_line(in_folder):
    assert "locked" in str(fault(RuntimeError("(sqlite3.OperationalError) database is locked\n[SQL: INSERT]")))
    down = "API request to http://127.0.0.1:1/api failed with exception HTTPConnectionPool(...)"
    assert "cannot be reached any more" in str(fault(RuntimeError(down)))
    assert fault(RuntimeError("another")) is None


def test_a_run_ends_at_once_when_its_server_has_gone(in_folder, closed_port, caplog):
    tracker = Tracker("a test", "a commit")
    tracker.open_evaluation({}, "a run", {})
    run, tracker.uri = tracker.run_id, f"http://127.0.0.1:{closed_port}"
    began = time.monotonic()
    tracker.finish("FAILED")
    assert time.monotonic() - began < 6
    assert tracker.run_id is None
    assert MlflowClient(tracking_uri=uri_of(in_folder / "mlflow.db")).get_run(run).info.status == "RUNNING"


FIRST = """
import sys, time
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
import mlflow, sqlalchemy, alembic.command, mlflow.store.tracking.sqlalchemy_store
time.sleep(max(0, float(sys.argv[1]) - time.time()))
tracker = Tracker("a test", "a commit")
tracker.open_evaluation({}, "a run", {})
tracker.finish("FINISHED")
"""


def test_three_first_starts_at_the_same_moment_all_get_a_run(in_folder):
    uri = uri_of(in_folder / "some place" / "fresh.db")
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
    start = str(time.time() + 12)
    words = [sys.executable, "-c", FIRST, start]
    others = [subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [other.communicate(timeout=180)[1] for other in others]
    assert [other.returncode for other in others] == [0, 0, 0], said
    client = MlflowClient(tracking_uri=uri)
    [experiment] = [one for one in client.search_experiments() if one.name == "ssl_pipelines"]
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED"] * 3
