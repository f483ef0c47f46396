"""Frozen features of the trained encoder, of random ones, and raw pixels."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import RUNS_METHODS, stage
from ssl_pipelines.pipelines.extract_features.nodes import extract_features


def create_pipeline() -> Pipeline:
    return Pipeline([stage(extract_features, "features", RUNS_METHODS)])
