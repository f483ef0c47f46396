"""A project in a temporary folder, driven as the user drives it, without paying for a new interpreter each time."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from projects import TINY, copy_project

MadeOnce = Callable[[str, Callable[[Path], None]], Path]
Enter = Callable[[Path, pytest.MonkeyPatch], "Project"]


@dataclass
class Project:
    """`run(...)` is `kedro run ...`; it raises click.ClickException as the command line would print it."""

    root: Path
    lines: list[str] = field(default_factory=list)  # what the last run said

    def run(self, *arguments: str, params: str = "", tiny: bool = True) -> None:
        from ssl_pipelines.cli import run

        self.lines.clear()
        values = ",".join(filter(None, [TINY if tiny else "", params]))
        words = [*arguments, *(["--params", values] if values else [])]
        environment = [] if any(word.startswith("--env") for word in words) else ["--env", "smoke"]
        run.main([*environment, *words], standalone_mode=False, prog_name="kedro run")

    def said(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.lines)


class _Ear(logging.Handler):
    def __init__(self, lines: list[str]):
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untouched copy of the project, with 600 real digits."""
    folder = tmp_path_factory.mktemp("template") / "project"
    folder.mkdir()
    copy_project(folder)
    return folder


@pytest.fixture(scope="session")
def enter() -> Callable[[Path, pytest.MonkeyPatch], Project]:
    def go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
        from mlflow.tracking._tracking_service import utils

        utils._artifact_repos_cache.clear()  # MLflow's, of this process: copies of a project have the same runs at other places
        monkeypatch.chdir(folder)
        for name in ("DVC_ROOT", "DVC_STAGE", "MLFLOW_TRACKING_URI", "KEDRO_ENV"):
            monkeypatch.delenv(name, raising=False)
        return Project(folder)

    return go


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enter: Enter) -> Iterator[Project]:
    """A fresh project in which nothing has run."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder, symlinks=True)
    yield from _listening(enter(folder, monkeypatch))


@pytest.fixture(scope="session")
def finished_folder(template: Path, made_once: MadeOnce, enter: Enter) -> Path:
    """A project in which everything has run once."""

    def make(folder: Path) -> None:
        shutil.copytree(template, folder / "project", symlinks=True)
        with pytest.MonkeyPatch.context() as monkeypatch:
            enter(folder / "project", monkeypatch).run()

    return made_once("finished", make) / "project"


@pytest.fixture
def finished(finished_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enter: Enter) -> Iterator[Project]:
    """A copy of that project, to do with as one likes."""
    folder = tmp_path / "project"
    shutil.copytree(finished_folder, folder, symlinks=True)
    yield from _listening(enter(folder, monkeypatch))


def _listening(project: Project) -> Iterator[Project]:
    ear, logger = _Ear(project.lines), logging.getLogger("ssl_pipelines")
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    yield project
    logger.removeHandler(ear)
    logger.setLevel(level)


@pytest.fixture
def refused() -> Callable[..., str]:
    """The one line with which a run ends, after checking that it is one line and that the exit code is 1."""

    def ask(call: Callable[[], None]) -> str:
        with pytest.raises(click.ClickException) as caught:
            call()
        assert caught.value.exit_code == 1
        assert "\n" not in caught.value.message
        return caught.value.message

    return ask
