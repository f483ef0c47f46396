"""Embeddings of any images by a finished model."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.embed.nodes import embed_images


def create_pipeline() -> Pipeline:
    return Pipeline([Node(embed_images, ["parameters"], None, name="embed")])
