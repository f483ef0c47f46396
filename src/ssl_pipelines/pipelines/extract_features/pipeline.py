"""Frozen features of the trained encoder, of random ones, and raw pixels."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.extract_features.nodes import extract_all_features


def create_pipeline() -> Pipeline:
    return Pipeline([Node(extract_all_features, ["store", "model", "parameters"], "features", name="extract_features")])
