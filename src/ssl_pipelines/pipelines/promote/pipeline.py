"""The registry's gate: a better model becomes @champion."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.promote.nodes import promote_model


def create_pipeline() -> Pipeline:
    return Pipeline([Node(promote_model, ["store", "model", "linear_scores", "parameters"], None, name="promote")])
