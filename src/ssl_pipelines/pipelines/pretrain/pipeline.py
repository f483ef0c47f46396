"""The self-supervised training."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.pretrain.nodes import pretrain_encoder


def create_pipeline() -> Pipeline:
    return Pipeline([Node(pretrain_encoder, ["store", "gate", "parameters"], "model", name="pretrain")])
