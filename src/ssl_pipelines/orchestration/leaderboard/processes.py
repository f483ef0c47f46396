"""A row in a process of its own: its memory is its own, and its end is not the leaderboard's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.orchestration.leaderboard.jobs import Job
from ssl_pipelines.training.launch import PARENT, forwarding, python_path
from ssl_pipelines.training.watch import Stopped

INTERRUPTED = 130


class Failed(InputError):
    """What a job said as it ended, when it was no fault of the user's and no stop of its own."""


KINDS: dict[str, type[InputError]] = {"stopped": Stopped, "input": InputError, "failed": Failed}


def in_own_process(job: Job) -> None:
    """`carry_out` elsewhere. Raises what it raised, KeyboardInterrupt where it was interrupted, Failed where the system ended it."""
    place = Path(job.place)
    spec, problem = place / "job.json", place / "problem.json"
    problem.unlink(missing_ok=True)
    write_json(spec, job.values())
    command = [sys.executable, "-m", "ssl_pipelines.orchestration.leaderboard", str(spec)]
    environment = os.environ | {"PYTHONPATH": python_path(), PARENT: str(os.getpid())}
    # Its own session: Ctrl-C reaches it once, forwarded, and ends a training at a step's border.
    with subprocess.Popen(command, env=environment, start_new_session=True) as child, forwarding(child):
        code = child.wait()
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if problem.is_file():
        found = read_json(problem)
        raise KINDS[found["kind"]](found["message"])
    if code:
        guess = ": the system may have been out of memory" if code == -signal.SIGKILL else ""
        raise Failed(f"its process ended with {f'signal {-code}' if code < 0 else f'code {code}'}{guess}")


def tell(place: Path, error: Exception) -> None:
    """problem.json, for the process that waits."""
    kind = "stopped" if isinstance(error, Stopped) else "input" if isinstance(error, InputError) else "failed"
    write_json(place / "problem.json", {"kind": kind, "message": in_words(error)})


def in_words(error: Exception) -> str:
    """One line; a fault of ours with the name of its kind."""
    text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]
