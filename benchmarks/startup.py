"""`kedro run --pipeline=pretrain` to its first step, over importing torch, torchvision, mlflow and kedro alone."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Bar, Row, row, turns

BAR = Bar("startup", 1.3, "less")
IMPORTS = "import torch, torchvision, mlflow, kedro"
KEDRO = [sys.executable, "-m", "kedro", "run", "--env=smoke", "--params"]


def run(quick: bool) -> list[Row]:
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        subprocess.run(["git", "clone", "--quiet", str(root), str(project)], check=True)
        environment = os.environ | {"PYTHONPATH": str(project / "src"), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        first = [*KEDRO, "pretrain.images_seen=64", "--pipeline=pretrain"]
        subprocess.run(first, cwd=project, env=environment, check=True, capture_output=True)  # the store, the gate, the database
        attempts = itertools.count(1)
        works = {"run": lambda: _to_first_step(project, environment, next(attempts)), "imports": lambda: _imports(environment)}
        found = turns(works, warm=False)
    return [row(BAR, found["run"], found["imports"], "to the first step against the imports alone", "s")]


def _imports(environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], env=environment, check=True, capture_output=True)
    return time.perf_counter() - began


def _to_first_step(project: Path, environment: dict[str, str], attempt: int) -> float:
    """Seconds until events.jsonl of a fresh training has its first loss. A budget of its own makes it fresh, and nothing before it."""
    before = set(project.glob("data/06_models/checkpoints/*/events.jsonl"))
    began = time.perf_counter()
    command = [*KEDRO, f"pretrain.images_seen={100_000 + attempt}", "--pipeline=pretrain"]
    child = subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while child.poll() is None:
            new = set(project.glob("data/06_models/checkpoints/*/events.jsonl")) - before
            if any("train/loss" in path.read_text() for path in new):
                return time.perf_counter() - began
            time.sleep(0.01)
        raise RuntimeError(f"the training ended with {child.returncode} before its first step")
    finally:
        child.kill()
        child.wait()
