"""What Kedro knows of this package in any folder: the commands that need no project, and a line for those that need one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.hooks import cli_hook_impl

# kedro-telemetry is not in the lock, but whoever installs the package alone gets it with Kedro; it asks these before it sends anything.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")

ANYWHERE = ("datasets", "methods", "parameters")
PROJECT = ("leaderboard", "models", "rollback", "run", "trace")


class _Anywhere(click.Group):
    """Imported as they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ANYWHERE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ANYWHERE:
            return None
        from ssl_pipelines.cli import cli

        return cli.commands[cmd_name]


commands = _Anywhere("ssl_pipelines")


class CommandHooks:
    @cli_hook_impl
    def before_command_run(self, project_metadata: Any, command_args: list[str]) -> None:
        """Raises ClickException where a command of the project is run outside of one."""
        name = next(iter(command_args), "")
        if project_metadata is None and name in PROJECT:
            here = f"neither {Path.cwd()} nor a folder above it has a pyproject.toml with [tool.kedro]"
            error = click.ClickException(f"kedro {name} is run in the folder of a project, or below it: {here}")
            error.show()
            raise SystemExit(error.exit_code)


hooks = CommandHooks()
