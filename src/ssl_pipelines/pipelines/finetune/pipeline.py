"""The whole encoder trained on the labels, against the same network from scratch."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import RUNS_METHODS, stage
from ssl_pipelines.pipelines.finetune.nodes import finetune


def create_pipeline() -> Pipeline:
    return Pipeline([stage(finetune, "finetune_scores", RUNS_METHODS)])
