"""The registered pipelines. Each contains the rooms before it: what is missing or stale upstream is made first."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.rooms import ROOMS, TOOLS, before_tool, upstream


def register_pipelines() -> dict[str, Pipeline]:
    made = {name: import_module(f"ssl_pipelines.pipelines.{name}.pipeline").create_pipeline() for name in [*ROOMS, *TOOLS]}
    rooms = {name: _joined(made, upstream(name)) for name in ROOMS}
    tools = {name: _joined(made, [*before_tool(name), name]) for name in TOOLS}
    return rooms | tools | {"__default__": _joined(made, [name for name, room in ROOMS.items() if not room.on_request])}


def _joined(made: dict[str, Pipeline], names: list[str]) -> Pipeline:
    return sum((made[name] for name in names), Pipeline([]))
