"""The Makefile in a folder of any name, and a virtual environment that was moved with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from projects import ROOT
from ssl_pipelines.orchestration.mlflow.tracking_store import database_of

SHOW = f"""#!{sys.executable}
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("MLFLOW_TRACKING_URI"), os.environ["PATH"].split(":")[0]]))
"""


def project(folder: Path) -> Path:
    """The Makefile with an environment that is up to date, whose mlflow shows how it was called."""
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "mlflow").write_text(SHOW)
    for name in ("python", "mlflow"):
        (binaries / name).chmod(0o755)
    (binaries / ".ready").write_text(f"{binaries.resolve()}\n")
    return folder


def environment() -> dict[str, str]:
    """Of a make that no other make has started, also where `make test` runs this."""
    left_out = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    return {key: value for key, value in os.environ.items() if key not in left_out} | {"PYTHONPATH": str(ROOT / "src")}


def make(folder: Path, *words: str, check: bool = True) -> str:
    done = subprocess.run(["make", *words], cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["with space", "50%20off", "it's? a#b & (new)"])
def test_ui_and_serve_find_the_database_of_any_folder(tmp_path, name):
    folder = project(tmp_path / name)
    words, _, _ = json.loads(make(folder, "ui", "PORT=5050"))
    assert words[:1] == ["ui"]
    assert database_of(words[words.index("--backend-store-uri") + 1]) == folder / "mlflow.db"
    assert "5050" in words
    if name == "with space":  # elsewhere the model is fetched first
        words, store, path = json.loads(make(folder, "serve", "MODEL=models:/m-1"))
        assert words[:4] == ["models", "serve", "--model-uri", "models:/m-1"]
        assert database_of(store) == folder / "mlflow.db"
        assert path == str(folder / ".venv/bin")
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing beside the project"


def test_no_such_model_is_one_line(tmp_path):
    folder = project(tmp_path / "50%20off")
    done = subprocess.run(["make", "serve"], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: MODEL='models:/encoder@champion' cannot be fetched from sqlite:///")


def test_an_environment_that_was_moved_or_copied_is_built_anew(tmp_path):
    folder = project(tmp_path / "before")
    assert "-m venv" not in make(folder, "-n", "demo")
    shutil.copytree(folder, tmp_path / "copy")
    folder.rename(tmp_path / "after")
    for place in ("copy", "after"):
        assert "-m venv --clear .venv" in make(tmp_path / place, "-n", "demo")
    (tmp_path / "linked").mkdir()
    (tmp_path / "copy/.venv").rename(tmp_path / "shared")
    (tmp_path / "shared/bin/.ready").write_text(f"{(tmp_path / 'shared/bin').resolve()}\n")
    (tmp_path / "copy/.venv").symlink_to(tmp_path / "shared")
    assert "--clear" not in make(tmp_path / "copy", "-n", "demo"), "an environment that several checkouts share stays"
