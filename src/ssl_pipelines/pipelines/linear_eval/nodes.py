"""What the stage does: one call into the core."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import LinearConfig
from ssl_pipelines.orchestration.stage_run import StageRun


def linear_eval(store: Artifact, features: Artifact, linear_eval: LinearConfig, seed: int, stage: StageRun) -> Artifact:
    from ssl_pipelines.evaluation import linear

    return stage.scores(lambda out: linear.linear_eval(features.path, store.path, linear_eval, seed, out))
