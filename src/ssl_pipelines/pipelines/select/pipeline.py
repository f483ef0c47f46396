"""Which images to label next."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import ON_REQUEST, stage
from ssl_pipelines.pipelines.select.nodes import select


def create_pipeline() -> Pipeline:
    return Pipeline([stage(select, "selection", ON_REQUEST)])
