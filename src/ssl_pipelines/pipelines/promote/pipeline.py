"""The registry's gate: a better model becomes @champion."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.promote.nodes import promote


def create_pipeline() -> Pipeline:
    return Pipeline([stage(promote)])
