"""What the hooks put into Kedro's catalog: what spans blocks of parameters, and what a run knows of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.choice import Models
from ssl_pipelines.orchestration.models.promote_config import PromoteConfig
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.session import Session
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import Stage
from ssl_pipelines.training.config import RunConfig


@dataclass(frozen=True, slots=True)
class Entries:
    """A node reads an entry by an argument of its name."""

    run: RunConfig  # all that pretraining computes, resolved from method, methods, backbone, pretrain and seed
    tracker: Tracker  # the MLflow store, and the run that this command has opened
    models: Models  # the finished models that parameters may name
    stage: StageRun | str = "set for each node"  # of the node that runs: makes its artifact unless that is fresh

    @classmethod
    def of(cls, parameters: Parameters, session: Session) -> Entries:
        assert session.tracker is not None
        name = parameters.block("promote", PromoteConfig).name
        return cls(parameters.run, session.tracker, Models(session.tracker, name))

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((entry.name, getattr(self, entry.name)) for entry in fields(self))


def stage_run(stage: Stage, inputs: dict[str, Any], parameters: Parameters, session: Session) -> StageRun:
    """The entry `stage` of one node. `inputs`: all that the node is about to read, by names of the catalog."""
    return StageRun(stage, parameters, {name: inputs[name] for name in stage.inputs}, session)
