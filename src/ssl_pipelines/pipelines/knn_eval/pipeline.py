"""Weighted nearest neighbors on frozen features."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.knn_eval.nodes import knn_eval


def create_pipeline() -> Pipeline:
    return Pipeline([stage(knn_eval, "knn_scores")])
