"""The picture and the tables of the stages, from the pipelines that run them."""

from __future__ import annotations

from importlib import import_module

from docs_build.diagram import Arrow, Box, svg
from docs_build.markup import plain, table
from ssl_pipelines.orchestration.stages import RUN, Stage, project_stages

SOURCE = "raw files"


def picture(*, on_request: bool = False) -> str:
    """The whole road; with `on_request` the stages that run where they are named as well, dashed."""
    stages = project_stages()
    shown = stages.making if on_request else stages.road
    depth = _columns(shown)
    boxes = {SOURCE: Box(0, 0, SOURCE, "data")}
    columns: dict[int, list[str]] = {}
    for stage in shown:
        columns.setdefault(depth[stage.name], []).append(stage.name)
    tallest = max(len(names) for names in columns.values())
    boxes[SOURCE] = Box(0, (tallest - 1) / 2, SOURCE, "data")
    for column, names in columns.items():
        names.sort(key=lambda name: -max((depth[before] for before in _just_before(stages[name])), default=0))  # long arrows below
        for k, name in enumerate(names):
            boxes[name] = Box(column, (tallest - len(names)) / 2 + k, name, "request" if stages[name].on_request else "step")
    arrows = [Arrow(before, stage.name) for stage in shown for before in _just_before(stage)]
    roots = [Arrow(SOURCE, stage.name) for stage in shown if not stage.inputs]
    chain = "; ".join(f"{stage.name} stands on {', '.join(_just_before(stage)) or SOURCE}" for stage in shown)
    return svg(boxes, [*roots, *arrows], f"The stages: {chain}.")


def stages_table() -> str:
    rows = [
        (
            f"`{stage.name}`",
            _purpose(stage.name),
            f"`{stage.folder}`",
            ", ".join(f"`{key}`" for key in _blocks(stage)),
            "when named" if stage.on_request else "always",
        )
        for stage in project_stages().making
    ]
    return table(("stage", "what it does", "writes below", "reads the blocks", "runs"), rows)


def tools_table() -> str:
    """Empty where there is no tool."""
    rows = [
        (
            f"`{tool.name}`",
            _purpose(tool.name),
            ", ".join(f"`{artifact}`" for artifact in tool.inputs) or "what its parameters name",
        )
        for tool in project_stages().tools
    ]
    return table(("tool", "what it does", "reads"), rows) if rows else ""


def _blocks(stage: Stage) -> list[str]:
    return [key for name in stage.parameters for key in (("method", "methods", "backbone", "pretrain") if name == RUN else (name,))]


def _purpose(name: str) -> str:
    told = import_module(f"ssl_pipelines.pipelines.{name}").__doc__ or ""
    return plain(told.strip().split("\n\n")[0].replace("\n", " "))


def _columns(shown: list[Stage]) -> dict[str, int]:
    """As far to the right as those let it that stand on it; what nothing stands on, as far to the left as what it stands on lets it."""
    columns: dict[str, int] = {}
    stages = project_stages()
    for stage in shown:
        columns[stage.name] = 1 + max((columns[stages.that_makes(artifact).name] for artifact in stage.inputs), default=0)
    for stage in reversed(shown):
        after = [columns[other.name] for other in shown if stage.artifact in other.inputs and not other.on_request]
        columns[stage.name] = min(after, default=columns[stage.name] + 1) - 1
    return columns


def _just_before(stage: Stage) -> list[str]:
    """The stages that it stands on, less those that one of the others stands on already."""
    stages = project_stages()
    before = {one.name: {below.name for below in stages.before(one.name)} for one in map(stages.that_makes, stage.inputs)}
    return [name for name in before if not any(name in names for other, names in before.items() if other != name)]
