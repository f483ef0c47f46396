"""The picture and the table of the rooms, from the table that runs them."""

from __future__ import annotations

from importlib import import_module

from docs_build.diagram import Arrow, Box, svg
from docs_build.markup import plain, table
from ssl_pipelines.orchestration.rooms import BY_ARTIFACT, ROOMS, TOOLS, Room, upstream

SOURCE = "raw files"


def picture(*, on_request: bool = False) -> str:
    """The whole road; with `on_request` the rooms that run where they are named as well, dashed."""
    shown = [room for room in ROOMS.values() if on_request or not room.on_request]
    depth = _columns(shown)
    boxes = {SOURCE: Box(0, 0, SOURCE, "data")}
    columns: dict[int, list[str]] = {}
    for room in shown:
        columns.setdefault(depth[room.name], []).append(room.name)
    tallest = max(len(names) for names in columns.values())
    boxes[SOURCE] = Box(0, (tallest - 1) / 2, SOURCE, "data")
    for column, names in columns.items():
        names.sort(key=lambda name: -max((depth[before] for before in _just_before(ROOMS[name])), default=0))  # long arrows below
        for k, name in enumerate(names):
            boxes[name] = Box(column, (tallest - len(names)) / 2 + k, name, "request" if ROOMS[name].on_request else "step")
    arrows = [Arrow(before, room.name) for room in shown for before in _just_before(room)]
    roots = [Arrow(SOURCE, room.name) for room in shown if not room.inputs]
    chain = "; ".join(f"{room.name} stands on {', '.join(_just_before(room)) or SOURCE}" for room in shown)
    return svg(boxes, [*roots, *arrows], f"The rooms: {chain}.")


def rooms_table() -> str:
    rows = [
        (
            f"`{room.name}`",
            _purpose(room.name),
            f"`{room.folder}`",
            ", ".join(f"`{key}`" for key in _blocks(room)),
            "when named" if room.on_request else "always",
        )
        for room in ROOMS.values()
    ]
    return table(("room", "what it does", "writes below", "reads the blocks", "runs"), rows)


def tools_table() -> str:
    """Empty where there is no tool."""
    rows = [
        (f"`{name}`", _purpose(name), ", ".join(f"`{artifact}`" for artifact in reads) or "what its parameters name")
        for name, reads in TOOLS.items()
    ]
    return table(("tool", "what it does", "reads"), rows) if rows else ""


def _blocks(room: Room) -> list[str]:
    return [
        key for name in room.parameters for key in (("method", "methods", "backbone", "pretrain") if name == "run" else (name,))
    ]


def _purpose(name: str) -> str:
    told = import_module(f"ssl_pipelines.pipelines.{name}").__doc__ or ""
    return plain(told.strip().split("\n\n")[0].replace("\n", " "))


def _columns(shown: list[Room]) -> dict[str, int]:
    """As far to the right as those let it that stand on it; what nothing stands on, as far to the left as what it stands on lets it."""
    columns: dict[str, int] = {}
    for room in shown:
        columns[room.name] = 1 + max((columns[BY_ARTIFACT[artifact].name] for artifact in room.inputs), default=0)
    for room in reversed(shown):
        after = [columns[other.name] for other in shown if room.artifact in other.inputs and not other.on_request]
        columns[room.name] = min(after, default=columns[room.name] + 1) - 1
    return columns


def _just_before(room: Room) -> list[str]:
    """The rooms that it stands on, less those that one of the others stands on already."""
    names = [BY_ARTIFACT[artifact].name for artifact in room.inputs]
    return [name for name in names if not any(name in upstream(other) for other in names if other != name)]
