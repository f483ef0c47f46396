"""How a command ends: what fails is one line and an exit code; the MLflow run learns of it, and the log file has the traceback."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

import click

LOG_FILE = "logs/ssl_pipelines.log"


@contextlib.contextmanager
def errors_in_one_line(finish: Callable[[str], None] = lambda status: None) -> Iterator[None]:
    """Ctrl-C and SIGTERM end alike; what fails is one line and an exit code, and its traceback stands in the log file.

    `finish(status)` closes what the command has opened."""
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        finish("KILLED")
        raise _Quiet("interrupted; the same command goes on from the last checkpoint", 130) from None
    except click.ClickException:
        raise
    except Exception as error:
        finish("FAILED")
        _to_log_file(error)
        if os.environ.get("SSL_PIPELINES_DEBUG"):
            raise
        raise _Quiet(_one_line(error), 1) from None
    finally:
        signal.signal(signal.SIGTERM, former)


class _Quiet(click.ClickException):
    """One line on the screen and an exit code."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        setattr(self, "exit_code", exit_code)  # noqa: B010, a class variable in click


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _one_line(error: BaseException) -> str:
    """What the user can mend is said as it is; a fault of ours says where the traceback is."""
    from ssl_pipelines.artifacts import InputError
    from ssl_pipelines.orchestration.mlflow.tracking_store import fault

    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    mendable = next((cause for cause in causes if isinstance(cause, InputError)), None)
    if mendable is not None:
        return str(mendable)
    of_store = next((line for cause in causes if (line := fault(cause))), None)
    if of_store is not None:
        return of_store
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, OSError):
        return text
    return f"{text[:300]} (a fault of ssl_pipelines, or of what it stands on; the traceback is in {LOG_FILE})"


def _to_log_file(error: BaseException) -> None:
    from ssl_pipelines.orchestration.paths import project_root

    path = project_root() / LOG_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    record = logging.LogRecord(
        "ssl_pipelines", logging.ERROR, __file__, 0, "the run ended with an error", None, (type(error), error, error.__traceback__)
    )
    handler.emit(record)
    handler.close()
