"""Several runs on one page."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.compare.nodes import compare


def create_pipeline() -> Pipeline:
    return Pipeline([stage(compare)])
