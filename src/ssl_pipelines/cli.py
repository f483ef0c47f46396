"""The project's commands: `kedro run` with errors in one line, and what there is to choose from."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

ALIAS = re.compile(r"(?<=[=\[,])(@[\w.-]*)")  # as a value, or in a list of them
LOG_FILE = "logs/ssl_pipelines.log"
log = logging.getLogger("ssl_pipelines")


@click.group(name="ssl_pipelines")
def cli() -> None:
    """Self-supervised learning, from a pile of images to a report."""


def _run(**options: Any) -> Any:
    from ssl_pipelines.artifacts import InputError
    from ssl_pipelines.orchestration.session import current

    # Kedro calls the option --pipelines and warns of --pipeline; both mean the same here.
    if options.get("pipeline") and not options.get("pipelines"):
        options["pipelines"], options["pipeline"] = [options["pipeline"]], None
    with _errors_in_one_line():
        _check_names(options)
        result = kedro_run.callback(**options)  # type: ignore[misc]
        unmet = current().unmet()
        if unmet:
            raise InputError(unmet)
        _closing_words()
    return result


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Ctrl-C and SIGTERM end alike; what fails is one line and an exit code, and its traceback stands in the log file."""
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        _finish("KILLED")
        raise _Quiet("interrupted; the same command goes on from the last checkpoint", 130) from None
    except click.ClickException:
        raise
    except Exception as error:
        _finish("FAILED")
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


def _finish(status: str) -> None:
    from ssl_pipelines.orchestration.session import current

    tracker = current().tracker
    if tracker is not None:
        tracker.finish(status)


def _check_names(options: dict[str, Any]) -> None:
    from ssl_pipelines.artifacts.errors import unknown
    from ssl_pipelines.orchestration.paths import project_root
    from ssl_pipelines.orchestration.rooms import ROOMS, TOOLS

    for name in options.get("pipelines") or []:
        if name not in (allowed := [*ROOMS, *TOOLS, "__default__"]):
            raise unknown("pipeline", name, allowed)
    environment, root = options.get("env") or os.environ.get("KEDRO_ENV"), project_root()
    if environment and not options.get("conf_source") and not (root / "conf" / environment).is_dir():
        raise unknown("env", environment, [path.name for path in (root / "conf").iterdir() if path.is_dir()])


def _one_line(error: BaseException) -> str:
    """What the user can mend is said as it is; a fault of ours says where the traceback is."""
    from ssl_pipelines.artifacts import InputError

    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    mendable = next((cause for cause in causes if isinstance(cause, InputError)), None)
    if mendable is not None:
        return str(mendable)
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


def _closing_words() -> None:
    from ssl_pipelines.orchestration.summary import print_summary

    print_summary()


def _words(option: click.Parameter) -> click.Parameter:
    """--params as Kedro reads it, which is YAML, where no word begins with @: `embed.model=@champion` is quoted first."""
    if option.name != "params" or option.callback is None:
        return option
    changed, split = copy.copy(option), option.callback
    changed.callback = lambda context, same, value: split(
        context, same, ALIAS.sub(r"'\1'", value) if isinstance(value, str) else value
    )
    return changed


run = copy.copy(kedro_run)
run.callback = _run
run.params = [_words(option) for option in run.params]
cli.add_command(run)


def _listing(rows: list[dict[str, str]], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    Console().print(table)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects with name, family, paper, needs.")
def methods(as_json: bool) -> None:
    """List the methods: what to give to --params method=NAME."""
    from ssl_pipelines.methods.registry import TABLE

    rows = [
        {"name": name, "family": row.family, "paper": f"{row.paper}", "needs": row.needs} for name, row in sorted(TABLE.items())
    ]
    _listing(rows, as_json, ("name", "family", "paper", "needs"))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects with name, family, paper, needs.")
def datasets(as_json: bool) -> None:
    """List the readers: what to give to --params dataset.reader=NAME."""
    from ssl_pipelines.data.readers import READERS

    rows = [{"name": info.name, "family": "reader", "paper": info.description, "needs": info.needs} for info in READERS.values()]
    if as_json:
        _listing(rows, True, ())
    else:
        _listing(
            [{"name": row["name"], "reads": row["paper"], "needs": row["needs"]} for row in rows], False, ("name", "reads", "needs")
        )


@cli.command(context_settings={"show_default": True})
@click.option("--methods", "names", metavar="A,B,...", help="These alone; else all that `kedro methods` lists.")
@click.option("--budget", "budget_name", type=click.Choice(["cpu", "gpu"]), default="cpu", help="What every method gets alike.")
@click.option("--data", type=click.Path(exists=True, resolve_path=True), help="The folder of CIFAR-10 in Parquet files.")
@click.option("--redo", is_flag=True, help="Make these rows anew, also those that are finished and fresh.")
@click.option("--page-only", is_flag=True, help="Train nothing: write the page from the rows that stand.")
@click.option("--images-seen", type=click.IntRange(min=1), help="A trial with so many images drawn; rows and page go below --work.")
@click.option("--work", type=click.Path(file_okay=False), default="data/09_leaderboard", help="Store, checkpoints, models.")
def leaderboard(
    names: str | None, budget_name: str, data: str | None, redo: bool, page_only: bool, images_seen: int | None, work: str
) -> None:
    """Train every method at one fixed budget; rank them by linear probe and kNN.

    A row is docs/leaderboard/BUDGET/METHOD.json, written as its method ends; docs/leaderboard.md, leaderboard.json and the pictures
    are made from the rows. A row that is finished and fresh is not made again; one whose code, parameters or data have changed is.
    What was interrupted goes on, also in the middle of a training. A method that fails ends its own row alone, and the exit code is 1.

    Why a method misses can be said by hand in docs/leaderboard/reasons.yml (BUDGET: {METHOD: TEXT}).
    """
    from ssl_pipelines.orchestration.leaderboard import board
    from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS, all_methods
    from ssl_pipelines.orchestration.paths import project_root

    if data is None and not page_only:
        raise click.UsageError("--data is needed (the folder of CIFAR-10 in Parquet files), or --page-only")
    place, docs, budget = project_root() / work, project_root() / "docs", BUDGETS[budget_name]
    if images_seen is not None:
        budget, docs = budget.drawing(images_seen), place / f"trial-{images_seen}"
    with _errors_in_one_line():
        if page_only:
            rows = board.write_page(docs, budget)
        else:
            methods = all_methods() if names is None else [name.strip() for name in names.split(",") if name.strip()]
            rows = board.run(methods, budget, str(data), docs, place, redo=redo)
        click.echo(board.last_words(rows, docs))
    if any(row.verdict == "bug" for row in rows):
        raise click.exceptions.Exit(1)
