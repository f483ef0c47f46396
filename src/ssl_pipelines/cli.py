"""The project's commands: `kedro run` with errors in one line, and what there is to choose from."""

from __future__ import annotations

import copy
import json
import logging
import os
import signal
from types import FrameType
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

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
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        _check_names(options)
        result = kedro_run.callback(**options)  # type: ignore[misc]
        unmet = current().unmet()
        if unmet:
            raise InputError(unmet)
        _closing_words()
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
    return result


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
    from ssl_pipelines.orchestration.rooms import ROOMS

    for name in options.get("pipelines") or []:
        if name not in ROOMS and name != "__default__":
            raise unknown("pipeline", name, [*ROOMS, "__default__"])
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


run = copy.copy(kedro_run)
run.callback = _run
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
