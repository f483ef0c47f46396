"""What one command knows of itself: what was asked, how long each stage took, and the MLflow run that listens."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl_pipelines.orchestration.mlflow.tracking import Tracker


@dataclass
class Session:
    asked: tuple[str, ...] = ()  # pipelines named on the command line; empty: all
    command: str = ""
    tracker: Tracker | None = None
    seconds: dict[str, float | None] = field(default_factory=dict)  # stage -> seconds; None: it was up to date
    skipped: dict[str, str] = field(default_factory=dict)  # stage -> what it needs

    def unmet(self) -> str | None:
        """What was asked for by name and could not be done. DVC names every stage, so there it is no fault."""
        if os.environ.get("DVC_STAGE"):
            return None
        return next((reason for stage, reason in self.skipped.items() if stage in self.asked), None)

    def finish(self, status: str) -> None:
        """Closes the MLflow run that this command has opened, if any."""
        if self.tracker is not None:
            self.tracker.finish(status)

    @property
    def title(self) -> str:
        """Of the MLflow run of an evaluation."""
        return f"evaluation: {', '.join(self.asked) or 'all'}"
