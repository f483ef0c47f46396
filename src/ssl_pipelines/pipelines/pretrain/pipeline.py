"""The self-supervised training."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import RUNS_METHODS, stage
from ssl_pipelines.pipelines.pretrain.nodes import pretrain


def create_pipeline() -> Pipeline:
    return Pipeline([stage(pretrain, "model", RUNS_METHODS)])
