"""Experiments that DVC queues run in clones that are removed again: what MLflow hears of them stays in the main checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from projects import ROOT, TINY
from ssl_pipelines.methods.config import deep_merge
from ssl_pipelines.orchestration.freshness.dvc import render
from ssl_pipelines.orchestration.lineage.reproduce import nested

BASE = "conf/base/parameters.yml"


def do(folder: Path, *words: str, heard: bool = True) -> str:
    """A command in the project; raises with what it said. One that leaves a process behind is not listened to: it would be waited for."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_TRACKING", "GIT_"))}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": "", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    where = subprocess.PIPE if heard else subprocess.DEVNULL
    done = subprocess.run(words, cwd=folder, env=environment, stdout=where, stderr=where, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout or ""


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    """A repository of the project with the digits as its data, small in everything."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder, symlinks=True)
    for name in (".gitignore", ".dvcignore", ".dvc/config", "data/.gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    small = dict(pair.split("=") for pair in TINY.split(","))
    tree = yaml.safe_load((folder / BASE).read_text())
    tree = deep_merge(tree, yaml.safe_load((folder / "conf/smoke/parameters.yml").read_text()))
    tree = deep_merge(tree, nested({key: yaml.safe_load(value) for key, value in small.items()}))
    (folder / BASE).write_text(yaml.safe_dump(tree, sort_keys=False))
    (folder / "dvc.yaml").write_text(render(tree))
    do(folder, "git", "init", "--quiet")
    do(folder, "dvc", "add", "--quiet", "digits.npz")  # a clone has what git or DVC keeps
    do(folder, "git", "add", "--all")
    do(folder, "git", "-c", "user.name=nobody", "-c", "user.email=nobody@localhost", "commit", "--quiet", "-m", "start")
    return folder


@pytest.mark.slow
def test_queued_experiments_lose_nothing(checkout):
    for method in ("simclr", "rotation"):
        do(checkout, "dvc", "exp", "run", "--queue", "-S", f"{BASE}:method={method}", "-n", f"with-{method}")
    try:
        do(checkout, "dvc", "queue", "start", "-j", "1", heard=False)
        deadline = time.monotonic() + 1500
        while "Success" not in (said := do(checkout, "dvc", "queue", "status")) or "Queued" in said or "Running" in said:
            assert "Failed" not in said, said + do(checkout, "dvc", "queue", "logs", "with-simclr")
            assert time.monotonic() < deadline, said
            time.sleep(5)
    finally:
        do(checkout, "dvc", "queue", "stop", "--kill")
    assert not list((checkout / ".dvc/tmp/exps").glob("tmp*")), "the clones are gone"
    assert not list(checkout.glob(".dvc/tmp/exps/**/mlflow.db"))
    client = MlflowClient(tracking_uri=f"sqlite:///{checkout}/mlflow.db")
    every = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    tops = {run.data.tags["DVC_EXP_NAME"]: run for run in every if "mlflow.parentRunId" not in run.data.tags}
    assert set(tops) == {"with-simclr", "with-rotation"}
    assert {run.info.status for run in every} == {"FINISHED"}
    for name, run in tops.items():
        assert run.data.tags["method"] == name.removeprefix("with-")
        below = [one for one in every if one.data.tags.get("mlflow.parentRunId") == run.info.run_id]
        kept = {
            item.path for one in below for folder in ("scores", "report") for item in client.list_artifacts(one.info.run_id, folder)
        }
        assert {"scores/linear_eval.predictions.parquet", "report/report.html", "report/metrics.json"} <= kept
        [reported] = [one for one in below if client.list_artifacts(one.info.run_id, "report")]
        metrics = json.loads(Path(client.download_artifacts(reported.info.run_id, "report/metrics.json")).read_text())
        assert metrics["mlflow_run_id"] == run.info.run_id
        mlflow.set_tracking_uri(f"sqlite:///{checkout}/mlflow.db")
        encoder = mlflow.pyfunc.load_model(run.data.tags["model_uri"])
        [answer] = encoder.predict(pd.DataFrame({"image": [(ROOT / "docs/images/report.png").read_bytes()]}))["embedding"]
        assert len(answer) > 1
    do(checkout, "kedro", "run", "--pipeline=compare", "--params", "compare.runs=[with-simclr,with-rotation]")
    found = json.loads((checkout / "data/09_compare/comparison.json").read_text())
    assert list(found["runs"]) == ["with-simclr", "with-rotation"]
    assert all("value" in pair for pair in found["differences"])
    said = json.loads(do(checkout, "kedro", "trace", "linear.top1", "--run", "with-rotation", "--json"))
    assert "method=rotation" in next(line for line in said["reproduce"] if line.startswith("kedro run"))
