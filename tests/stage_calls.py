"""A stage or a tool called as Kedro calls it: its function, with arguments found by the names and types of its signature."""

from __future__ import annotations

import inspect
from typing import Any

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.orchestration.entries import Entries
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.session import Session
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import project_stages


def stage_run(name: str, parameters: Parameters, session: Session | None = None, **inputs: Artifact) -> StageRun:
    """`session`: None for one that tells nobody."""
    return StageRun(project_stages()[name], parameters, inputs, session or Session())


def call(name: str, parameters: Parameters, session: Session | None = None, **inputs: Artifact) -> Any:
    """What the function of the stage `name` returns. `session`: None for one that tells the MLflow store of the working folder."""
    session = session or Session(tracker=Tracker("kedro run", "abc123"))
    stage = project_stages()[name]
    known: dict[str, Any] = {**parameters.blocks, "seed": parameters.run.seed, **inputs}
    known |= {"run": parameters.run, "tracker": session.tracker, "stage": StageRun(stage, parameters, inputs, session)}
    if session.tracker is not None:
        known["models"] = Entries.of(parameters, session).models
    return stage.function(**{name: known[name] for name in inspect.signature(stage.function).parameters})
