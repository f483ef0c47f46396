"""The gate: what the store must be before anything trains on it."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.validate.nodes import validate


def create_pipeline() -> Pipeline:
    return Pipeline([stage(validate, "gate")])
