"""What the stage does: one call into the core."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import KnnConfig
from ssl_pipelines.orchestration.stage_run import StageRun


def knn_eval(store: Artifact, features: Artifact, knn_eval: KnnConfig, seed: int, stage: StageRun) -> Artifact:
    from ssl_pipelines.evaluation import knn

    return stage.scores(lambda out: knn.knn_eval(features.path, store.path, knn_eval, seed, out))
