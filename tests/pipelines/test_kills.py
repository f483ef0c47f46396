"""kill -9 anywhere: the same command finishes, and what it ends with equals an uninterrupted run bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from projects import TINY

EXACT = ("06_models/encoder.safetensors", "06_models/method.safetensors", "06_models/history.parquet", "06_models/config.json")
EXACT += (
    "02_intermediate/images.npy",
    "02_intermediate/store.json",
    "07_model_output/linear_eval.json",
    "07_model_output/knn_eval.json",
)
PARAMS = f"{TINY},pretrain.images_seen=1920,runtime.checkpoint_every=2,runtime.log_every=1"


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kedro", "run", "--env", "smoke", "--params", PARAMS]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_TRACKING"))}
    return subprocess.Popen(
        command, cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def kill_when(folder: Path, moment: Callable[[Path], bool]) -> None:
    """Starts the run and kills it, its children too, as soon as `moment(data)` holds."""
    run = start(folder)
    deadline = time.monotonic() + 240
    while not moment(folder / "data"):
        assert run.poll() is None, f"it ended before the moment came: {run.stderr.read().decode() if run.stderr else ''}"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()


def last_step(data: Path) -> int:
    lines = [line for file in data.glob("06_models/checkpoints/*/events.jsonl") for line in file.read_text().splitlines()]
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "in ingest": lambda data: (data / "02_intermediate.partial").exists(),
    "early in pretrain": lambda data: last_step(data) >= 1,
    "late in pretrain": lambda data: last_step(data) >= 25,
    "while a checkpoint is written": lambda data: last_step(data) > 5 and any(data.glob("06_models/checkpoints/*/*.pt.partial")),
    "between rooms": lambda data: (data / "06_models/pretrain.record.json").exists(),
}


@pytest.fixture(scope="module")
def uninterrupted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control") / "project"
    shutil.copytree(template, folder, symlinks=True)
    run = start(folder)
    _, problems = run.communicate()
    assert run.returncode == 0, problems.decode()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_run_again(template, uninterrupted, tmp_path, moment):
    folder = tmp_path / "project"
    shutil.copytree(template, folder, symlinks=True)
    kill_when(folder, MOMENTS[moment])
    again = start(folder)
    _, problems = again.communicate()
    assert again.returncode == 0, problems.decode()
    for name in EXACT:
        assert (folder / "data" / name).read_bytes() == (uninterrupted / "data" / name).read_bytes(), name
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    [run] = client.search_runs([found.experiment_id for found in client.search_experiments()])
    assert run.info.status == "FINISHED"
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == list(range(1, 31))


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_a_killed_run(template, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(template, folder, symlinks=True)
    run = start(folder)
    while last_step(folder / "data") < 3:
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "goes on from the last checkpoint" in said.decode()
    assert list(folder.glob("data/06_models/checkpoints/*/step-*.pt"))
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    [found] = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert found.info.status == "KILLED"
