"""What one command knows of itself: what was asked, how long each room took, and the MLflow run that listens."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.tracking import Tracker


@dataclass
class Session:
    asked: tuple[str, ...] = ()  # pipelines named on the command line; empty: all
    command: str = ""
    parameters: Parameters | None = None
    tracker: Tracker | None = None
    seconds: dict[str, float | None] = field(default_factory=dict)  # room -> seconds; None: it was up to date
    skipped: dict[str, str] = field(default_factory=dict)  # room -> what it needs

    def note(self, room: str, seconds: float | None) -> None:
        self.seconds[room] = seconds

    def skip(self, room: str, reason: str) -> None:
        self.skipped[room] = reason

    def unmet(self) -> str | None:
        """What was asked for by name and could not be done. DVC names every stage, so there it is no fault."""
        if os.environ.get("DVC_STAGE"):
            return None
        return next((reason for room, reason in self.skipped.items() if room in self.asked), None)


_session = Session()


def current() -> Session:
    return _session


def begin(session: Session) -> None:
    global _session
    _session = session
