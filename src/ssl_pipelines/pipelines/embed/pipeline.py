"""Embeddings of any images by a finished model."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.embed.nodes import embed


def create_pipeline() -> Pipeline:
    return Pipeline([stage(embed)])
