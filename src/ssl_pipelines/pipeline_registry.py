"""The registered pipelines. Each contains the rooms before it: what is missing or stale upstream is made first."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.rooms import ROOMS, upstream


def register_pipelines() -> dict[str, Pipeline]:
    rooms = {name: import_module(f"ssl_pipelines.pipelines.{name}.pipeline").create_pipeline() for name in ROOMS}
    named = {name: sum((rooms[before] for before in upstream(name)), Pipeline([])) for name in rooms}
    return named | {"__default__": sum(rooms.values(), Pipeline([]))}
