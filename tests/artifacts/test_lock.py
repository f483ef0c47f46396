"""One writer: a second run is told who holds the room, and a dead holder holds nothing."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from small_runs import PROCESSES
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.lock import only_writer


def hold(path: Path, pipe: Connection) -> None:
    with only_writer(path):
        pipe.send("held")
        pipe.recv()


@pytest.fixture
def holder(tmp_path):
    ours, theirs = PROCESSES.Pipe()
    child = PROCESSES.Process(target=hold, args=(tmp_path / "pretrain.lock", theirs))
    child.start()
    assert ours.recv() == "held"
    yield child, ours
    child.kill()
    child.join()


def test_another_process_is_named(tmp_path, holder):
    child, _ = holder
    with pytest.raises(InputError, match=rf"^pretrain is being made by another run \(process {child.pid} on ") as caught:
        only_writer(tmp_path / "pretrain.lock").__enter__()
    assert "wait for it or stop it" in str(caught.value)


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    child, _ = holder
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    with only_writer(tmp_path / "pretrain.lock"):
        assert str(os.getpid()) in (tmp_path / "pretrain.holder.json").read_text()
    assert not (tmp_path / "pretrain.holder.json").exists()


def test_an_error_inside_frees_the_lock(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="x"), only_writer(tmp_path / "a.lock"):
            raise ValueError("x")


def test_a_holder_without_a_name_is_still_refused(tmp_path, holder):
    (tmp_path / "pretrain.holder.json").write_text("{")
    with pytest.raises(InputError, match="it has left no name"):
        only_writer(tmp_path / "pretrain.lock").__enter__()
