"""The project's commands: `kedro run` with errors in one line, and what there is to choose from."""

from __future__ import annotations

import copy
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.registry import registry as kedro_registry

from ssl_pipelines.command_errors import errors_in_one_line

if TYPE_CHECKING:
    from ssl_pipelines.orchestration.mlflow.tracking import Tracker


@click.group(name="ssl_pipelines")
def cli() -> None:
    """Self-supervised learning, from a pile of images to a report."""


def _run(**options: Any) -> Any:
    from ssl_pipelines.settings import HOOKS

    # Kedro calls the option --pipelines and warns of --pipeline; both mean the same here.
    if options.get("pipeline") and not options.get("pipelines"):
        options["pipelines"], options["pipeline"] = [options["pipeline"]], None
    with errors_in_one_line(HOOKS[0].finish):
        _check_names(options)
        return kedro_run.callback(**options)  # type: ignore[misc]


def _check_names(options: dict[str, Any]) -> None:
    from ssl_pipelines.artifacts import InputError
    from ssl_pipelines.artifacts.errors import unknown
    from ssl_pipelines.orchestration.paths import project_root
    from ssl_pipelines.orchestration.stages import project_stages

    if options.get("load_versions"):
        raise InputError(
            "--load-versions means nothing here: an artifact is known by what it was made from, and DVC keeps its versions"
        )
    stages = project_stages()
    for name in options.get("pipelines") or []:
        if name not in (allowed := [*stages, "__default__"]):
            raise unknown("pipeline", name, allowed)
    for option in ("from_nodes", "to_nodes", "node_names"):
        for name in options.get(option) or []:
            if name not in stages:
                raise unknown(f"--{'nodes' if option == 'node_names' else option.replace('_', '-')}", name, stages)
    environment, root = options.get("env") or os.environ.get("KEDRO_ENV"), project_root()
    if environment and not options.get("conf_source") and not (root / "conf" / environment).is_dir():
        raise unknown("env", environment, [path.name for path in (root / "conf").iterdir() if path.is_dir()])


def _params_option(option: click.Parameter) -> click.Parameter:
    if option.name != "params":
        return option
    from ssl_pipelines.orchestration.params_option import split_params

    ours = copy.copy(option)
    ours.callback = split_params
    return ours


run = copy.copy(kedro_run)
run.callback = _run
run.params = [_params_option(option) for option in kedro_run.params]
cli.add_command(run)


@click.group()
def registry() -> None:
    """The registered pipelines and what their stages read and write."""


registry.add_command(kedro_registry.commands["list"])


@registry.command()
@click.argument("name", default="__default__")
def describe(name: str) -> None:
    """List the stages of a pipeline in the order in which they run: what each reads, writes and does."""
    import yaml
    from kedro.framework.project import pipelines

    with errors_in_one_line():
        _check_names({"pipelines": [name]})
        nodes = [
            {"name": node.name, "reads": list(node.inputs), "writes": list(node.outputs), "function": node.func.__module__}
            for node in pipelines[name].nodes
        ]
    click.echo(yaml.safe_dump({"Nodes": nodes}, sort_keys=False, width=160).rstrip())


cli.add_command(registry)


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


@cli.command()
@click.argument("key", required=False)
@click.option("--json", "as_json", is_flag=True, help="A list of objects with key, default, allowed, meaning.")
def parameters(key: str | None, as_json: bool) -> None:
    """List the parameters' blocks, or the options below KEY (finetune.optimizer, methods.simclr): default, range and what each does."""
    from dataclasses import asdict

    from ssl_pipelines.orchestration.option_listing import listed

    with errors_in_one_line():
        rows = [asdict(option) for option in listed(key)]
    _listing(rows, as_json, ("key", "default", "allowed", "meaning"))


@cli.command()
@click.option("--name", help="Of the registered model; else all that promotions have made.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def models(name: str | None, as_json: bool) -> None:
    """List the registered versions: who is champion, by which score, and what became of the others."""
    from ssl_pipelines.orchestration.mlflow.registry import registered_names, rows_of, the_name

    with errors_in_one_line():
        tracker = _tracker()
        names = registered_names(tracker) if name is None else [the_name(tracker, name)]
        rows = [row for one in names for row in rows_of(tracker, one)]
    _listing(rows, as_json, ("version", "alias", "method", "linear", "data", "commit", "date", "verdict"))


@cli.command()
@click.option("--name", help="Of the registered model; may be left out where there is one.")
def rollback(name: str | None) -> None:
    """Withdraw the champion: the one before it is @champion again. A second rollback goes one step further back."""
    from ssl_pipelines.orchestration.mlflow.registry import Registry, the_name

    with errors_in_one_line():
        tracker = _tracker()
        registry = Registry(tracker, the_name(tracker, name))
        with registry.alone():
            click.echo(registry.say_rollback(*registry.roll_back()))


class _UserPath(click.Path):
    """`~` is the home folder also within `--data=~/x`, which a shell leaves as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from ssl_pipelines.artifacts.config import in_home

        return super().convert(in_home(value), param, ctx)


def _tracker() -> Tracker:
    from ssl_pipelines.orchestration.mlflow.tracking import Tracker
    from ssl_pipelines.orchestration.provenance import git_commit

    return Tracker(" ".join(sys.argv), git_commit())


@cli.command(context_settings={"show_default": True})
@click.option("--methods", "names", metavar="A,B,...", help="These alone; else all that `kedro methods` lists.")
@click.option("--budget", "budget_name", type=click.Choice(["cpu", "gpu"]), default="cpu", help="What every method gets alike.")
@click.option("--data", type=_UserPath(exists=True, resolve_path=True), help="The folder of CIFAR-10 in Parquet files.")
@click.option("--redo", is_flag=True, help="Make these rows anew, also those that are finished and fresh.")
@click.option("--page-only", is_flag=True, help="Train nothing: write the page from the rows that stand.")
@click.option("--images-seen", type=click.IntRange(min=1), help="A trial with so many images drawn; rows and page go below --work.")
@click.option("--carry", "commit", metavar="COMMIT", help="Train nothing anew: keep stale rows whose code trains to COMMIT's bits.")
@click.option("--work", type=_UserPath(file_okay=False), default="data/09_leaderboard", help="Store, checkpoints, models.")
def leaderboard(
    names: str | None,
    budget_name: str,
    data: str | None,
    redo: bool,
    page_only: bool,
    images_seen: int | None,
    commit: str | None,
    work: str,
) -> None:
    """Train every method at one fixed budget; rank them by linear probe and kNN.

    A row is docs/leaderboard/BUDGET/METHOD.json, written as its method ends; docs/leaderboard.md, leaderboard.json and the pictures
    are made from the rows. A row that is finished and fresh is not made again; one whose code, parameters or data have changed is.
    What was interrupted goes on, also in the middle of a training. A method that fails ends its own row alone, and the exit code is 1.

    --carry COMMIT trains each stale row's method in small, by the code of COMMIT and of HEAD; where weights, history and scores are equal
    bit for bit, the row keeps its numbers and says so. Exit code 1 where a row is left to be retrained.

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
    if commit is not None and (redo or page_only or images_seen is not None):
        raise click.UsageError("--carry goes with --methods, --budget, --data and --work alone")
    methods = all_methods() if names is None else [name.strip() for name in names.split(",") if name.strip()]
    with errors_in_one_line():
        if commit is not None:
            from ssl_pipelines.orchestration.leaderboard import carry

            found = carry.carry(methods, budget, str(data), docs, place, commit)
            click.echo(carry.last_words(found))
            failed = any(one.what == "to be retrained" for one in found)
        else:
            rows = board.write_page(docs, budget) if page_only else board.run(methods, budget, str(data), docs, place, redo=redo)
            click.echo(board.last_words(rows, docs))
            failed = any(row.verdict == "bug" for row in rows)
    if failed:
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("metric")
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    help="Of this MLflow run (id or its beginning, name, DVC experiment); else of what stands here.",
)
@click.option("--json", "as_json", is_flag=True, help="An object with metric, score, parameters, links, reproduce.")
def trace(metric: str, run_id: str | None, as_json: bool) -> None:
    """Walk from a number (linear.top1, knn.gain, ...) back to the raw files, and say how to get it again.

    Each link says whether it still holds: stale, when something else stands there by now; missing, when nothing does. Exit code 0
    either way: what is asked is where the number comes from."""
    from ssl_pipelines.orchestration.lineage.trace import trace as walk
    from ssl_pipelines.orchestration.lineage.tree import as_json as in_json
    from ssl_pipelines.orchestration.lineage.tree import print_trace
    from ssl_pipelines.orchestration.mlflow.tracking import Tracker
    from ssl_pipelines.orchestration.paths import project_root
    from ssl_pipelines.orchestration.provenance import git_commit

    with errors_in_one_line():
        found = walk(metric, project_root(), Tracker("kedro trace", git_commit()), run_id)
        if as_json:
            click.echo(json.dumps(in_json(found), indent=2, ensure_ascii=False))
        else:
            print_trace(found)
