"""Several ranks below one process: told to end, or orphaned."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch

from small_runs import PROCESSES, runtime, small_config
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.training import launch
from ssl_pipelines.training.checkpoints import newest_checkpoint


def long_run(store: Path, work: Path) -> None:
    """Two ranks with far more to do than the test waits for; says how it ended."""
    config = small_config("rotation", pretrain={"images_seen": 16 * 5000})
    try:
        launch.run(config, runtime(devices=2, checkpoint_every=10_000), store, work)
    except BaseException as problem:
        (work / "ended").write_text(type(problem).__name__)


def started(store: Path, work: Path):
    """The process that launched two ranks, and all processes below it, once they have taken a step."""
    child = PROCESSES.Process(target=long_run, args=(store, work))
    child.start()
    events = work / "events.jsonl"
    wait_for(lambda: events.is_file() and "train/loss" in events.read_text())
    return child, psutil.Process(child.pid).children(recursive=True)


def wait_for(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def gone(processes: list[psutil.Process]) -> bool:
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)


def test_ranks_end_with_the_process_that_launched_them(digits, tmp_path):
    child, below = started(digits, tmp_path)
    assert len(below) >= 3  # torchrun and two ranks
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    wait_for(lambda: gone(below), 30)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_no_rank(digits, tmp_path):
    child, below = started(digits, tmp_path)
    os.kill(child.pid, signal.SIGTERM)
    child.join(60)
    assert (tmp_path / "ended").read_text() == "KeyboardInterrupt"
    state = newest_checkpoint(tmp_path)
    assert state is not None
    steps = [json.loads(line)["step"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert state["step"] == max(steps)
    wait_for(lambda: gone(below), 30)


def test_more_ranks_than_accelerators_are_refused(monkeypatch):
    monkeypatch.setattr(launch, "device_of", lambda _: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"runtime\.devices=2, this machine has 1 of cuda"):
        launch.check_devices(runtime(devices=2))


@pytest.mark.slow
def test_what_a_rank_refuses_reaches_the_caller_as_it_was_said(digits, tmp_path):
    config = small_config("rotation", pretrain={"init_from": str(tmp_path / "nowhere")})
    with pytest.raises(InputError, match=r"pretrain\.init_from=.* is not there"):
        launch.run(config, runtime(devices=2), digits, tmp_path)
