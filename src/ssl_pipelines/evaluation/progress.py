"""A bar on a terminal, one summary line in a log."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger("ssl_pipelines")


@contextlib.contextmanager
def progress(task: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Gives `advance(n)`. The line at the end is logged where no bar was seen."""
    console, started = Console(stderr=True), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task(task, total=total)
        yield lambda n: bar.advance(row, n)
    if not console.is_terminal:
        logger.info("%s: %s %s in %.1f s", task, f"{total:,}", unit, time.monotonic() - started)
