"""The progress bar: loss, images a second and time left on a terminal, a line now and then where there is none."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

log = logging.getLogger("ssl_pipelines")


def training_progress(*, enabled: bool) -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not (enabled and console.is_terminal), transient=True)


def say_where(bar: Progress) -> None:
    """One line in the log, where there is no bar to be seen."""
    if bar.disable:
        task = bar.tasks[0]
        said = (task.fields["loss"], task.fields["speed"])
        log.info("pretrain: step %d of %d, %s", task.completed, task.total, ", ".join(word for word in said if word))
