"""Raw files to images.npy and manifest.parquet."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.ingest.nodes import ingest_images


def create_pipeline() -> Pipeline:
    return Pipeline([Node(ingest_images, ["parameters"], "store", name="ingest")])
