"""One row: `python -m ssl_pipelines.orchestration.leaderboard JOB`, started by the leaderboard."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from kedro.framework import project  # noqa: F401, it sets up logging as it is imported, and must not do so later

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.orchestration.leaderboard.jobs import Job, carry_out
from ssl_pipelines.orchestration.leaderboard.processes import INTERRUPTED, tell
from ssl_pipelines.training.launch import end_with_parent

log = logging.getLogger("ssl_pipelines")


def main(spec: Path) -> int:
    end_with_parent()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout, force=True)
    log.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        carry_out(Job.read(spec))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if not isinstance(error, InputError):
            log.exception("the row ended with an error")
        tell(spec.parent, error)
        return 1
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
