"""The registered pipelines: a folder below `pipelines` is one. Each contains the stages before it: what is missing or stale is made first."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from kedro.pipeline import Pipeline

from ssl_pipelines import pipelines
from ssl_pipelines.orchestration.stages import ON_REQUEST


def register_pipelines() -> dict[str, Pipeline]:
    names = sorted(folder.name for folder in pkgutil.iter_modules(pipelines.__path__) if folder.ispkg)
    own = {name: import_module(f"{pipelines.__name__}.{name}.pipeline").create_pipeline() for name in names}
    whole = Pipeline([node for one in own.values() for node in one.nodes])
    made = {name: whole.to_nodes(*(node.name for node in one.nodes)) for name, one in own.items()}
    return made | {"__default__": Pipeline([node for node in whole.nodes if ON_REQUEST not in node.tags])}
