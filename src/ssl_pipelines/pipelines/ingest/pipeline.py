"""Raw files to images.npy and manifest.parquet."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.ingest.nodes import ingest


def create_pipeline() -> Pipeline:
    return Pipeline([stage(ingest, "store")])
