"""The encoder on other data sets."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import ON_REQUEST, RUNS_METHODS, stage
from ssl_pipelines.pipelines.transfer_eval.nodes import transfer_eval


def create_pipeline() -> Pipeline:
    return Pipeline([stage(transfer_eval, "transfer_scores", RUNS_METHODS, ON_REQUEST)])
