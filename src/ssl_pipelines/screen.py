"""What a command prints, wherever in the project it is run."""

from __future__ import annotations

import os
from pathlib import Path


def log_as_the_project_says() -> None:
    """Applies conf/logging.yml in a folder below the project too.

    Kedro looks for that file in the working folder alone, and prints its every step where there is none."""
    from kedro.framework.project import LOGGING

    from ssl_pipelines.orchestration.paths import project_root

    root = project_root()
    file = root / "conf" / "logging.yml"
    if root == Path.cwd().resolve() or "KEDRO_LOGGING_CONFIG" in os.environ or not file.is_file():
        return
    import yaml

    LOGGING.configure(yaml.safe_load(file.read_text(encoding="utf-8")))
