"""Where a result comes from: commit, machine, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ssl_pipelines.orchestration.paths import project_root

PACKAGES = ("ssl_pipelines", "torch", "torchvision", "timm", "kedro", "mlflow", "dvc", "great-expectations")


def git_commit() -> str:
    """The commit, "+dirty" where tracked files differ from it, "unknown" outside a repository."""
    commit = (git("rev-parse", "HEAD") or b"").decode().strip()
    if not commit:
        return "unknown"
    return commit + ("+dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def git(*words: str, root: Path | None = None) -> bytes | None:
    """What git prints in `root` (None: the project); None where it fails, or does not answer within a minute."""
    try:
        done = subprocess.run(["git", *words], cwd=root or project_root(), capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def hardware() -> dict[str, Any]:
    import psutil
    import torch

    found: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
