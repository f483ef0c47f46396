"""kedro outside a project, and in a folder below one: nothing leaves the machine, nothing is written, and no flood of Kedro's own lines."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from projects import ROOT, copy_project

# Python imports it first: what opens a socket is written down.
LISTENER = """
import os, sys
def hear(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo"):
        with open(os.environ["HEARD"], "a") as heard:
            heard.write(f"{event} {arguments}\\n")
sys.addaudithook(hear)
"""
KEDRO = "from kedro.framework.cli import main; main()"


def kedro(folder: Path, tmp_path: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], list[Path], str]:
    """(what it did, files in its home and its temporary folder, sockets that it opened)"""
    for name in ("home", "tmp", "listener"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "listener/sitecustomize.py").write_text(LISTENER)
    silent = ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "CI", "KEDRO_ENV", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in silent}
    environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "HEARD": str(tmp_path / "heard")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(tmp_path / "listener"), str(ROOT / "src")]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", KEDRO, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    written = [path for name in ("home", "tmp") for path in (tmp_path / name).rglob("*")]
    heard = (tmp_path / "heard").read_text() if (tmp_path / "heard").exists() else ""
    return done, written, heard


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def test_methods_are_listed_anywhere_and_nothing_is_sent_or_written(outside, tmp_path):
    done, written, heard = kedro(outside, tmp_path, "methods", "--json")
    assert done.returncode == 0, done.stderr
    assert "simclr" in {row["name"] for row in json.loads(done.stdout[done.stdout.index("[\n") :])}
    assert (written, heard, list(outside.iterdir())) == ([], "", [])


@pytest.mark.parametrize("command", ["run", "models"])
def test_a_command_of_a_project_says_where_it_is_run(outside, tmp_path, command):
    done, written, heard = kedro(outside, tmp_path, command)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"Error: kedro {command} is run in the folder of a project, or below it: neither {outside} nor .*\n", done.stderr
    )
    assert (written, heard, list(outside.iterdir())) == ([], "", [])


def test_the_lock_holds_no_telemetry():
    lock = (ROOT / "requirements.lock").read_text()
    assert "\nkedro==" in lock
    assert "kedro-telemetry" not in lock


LEVELS = """
import logging, ssl_pipelines.settings
print([logging.getLogger(name).getEffectiveLevel() for name in ("kedro.io", "kedro.runner", "kedro.pipeline.node", "ssl_pipelines")])
"""


def test_below_the_project_its_own_logging_holds(tmp_path):
    (tmp_path / "conf/base").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    (tmp_path / "conf/logging.yml").write_text((ROOT / "conf/logging.yml").read_text())
    environment = {key: value for key, value in os.environ.items() if key != "KEDRO_LOGGING_CONFIG"}
    words = [sys.executable, "-c", LEVELS]
    for folder in (tmp_path, tmp_path / "conf/base"):
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == str([logging.ERROR, logging.ERROR, logging.CRITICAL, logging.INFO]), folder


@pytest.mark.slow
def test_below_the_project_a_command_prints_what_it_prints_above(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    copy_project(root)
    words = ["run", "--env=smoke", "--pipeline=ingest", "--params=dataset.reader=npz,dataset.root=digits.npz"]
    done, _, _ = kedro(root / "conf" / "base", tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ingest npz|^ingest digits", done.stdout, re.MULTILINE), done.stdout
    said = done.stdout + done.stderr
    for word in ("Running node", "Loading data", "Completed node", "Kedro project", "typed parameter"):
        assert word not in said, said
    assert not [path for path in (root / "conf/base").iterdir() if path.name in ("data", "mlflow.db", "logs")]
