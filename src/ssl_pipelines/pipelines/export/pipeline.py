"""safetensors, ONNX, timm and a model card."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.export.nodes import export_model


def create_pipeline() -> Pipeline:
    return Pipeline([Node(export_model, ["parameters"], None, name="export")])
