"""Logistic regression on frozen features."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.linear_eval.nodes import linear_eval


def create_pipeline() -> Pipeline:
    return Pipeline([stage(linear_eval, "linear_scores")])
