"""Where the project is. Everything that is kept is kept below one root, also when DVC runs in a copy."""

from __future__ import annotations

import os
from pathlib import Path

from ssl_pipelines.artifacts.record import digest


def project_root() -> Path:
    """The folder of pyproject.toml: where the command runs, or the nearest parent that is a Kedro project."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and "[tool.kedro]" in file.read_text(encoding="utf-8"):
            return folder
    return here


def home_root() -> Path:
    """The main checkout: DVC's queue runs experiments in temporary clones and says where it came from. Databases and raw data live here."""
    return Path(os.environ.get("DVC_ROOT") or project_root()).resolve()


def lock_of(what: str, place: Path) -> Path:
    """The lock of the one writer of `place`, wherever that lies."""
    return project_root() / "data" / ".locks" / f"{what}-{digest(str(place))[:8]}.lock"


def lock_of_stage(name: str) -> Path:
    """The lock of the one writer of a stage."""
    return project_root() / "data" / ".locks" / f"{name}.lock"


def shown(path: Path) -> str:
    """Below the project as it is written there, else in full."""
    root = project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
