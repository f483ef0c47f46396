"""Images like this one."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.search.nodes import search


def create_pipeline() -> Pipeline:
    return Pipeline([stage(search)])
