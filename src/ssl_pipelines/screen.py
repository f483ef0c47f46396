"""What a command prints and does not load, wherever in the project it is run."""

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


def leave_out_hooks(*names: str) -> None:
    """Hooks of other packages, by the names of their entry points, that a session is not to load.

    Kedro's own setting unregisters hooks after it has imported them, which every command would wait for."""
    from kedro.framework.session import session

    create = getattr(session, "_create_hook_manager", None)
    if create is None:  # another version of Kedro: its own setting still holds
        return

    def create_without() -> object:
        manager = create()
        for name in names:
            manager.set_blocked(name)
        return manager

    session._create_hook_manager = create_without
