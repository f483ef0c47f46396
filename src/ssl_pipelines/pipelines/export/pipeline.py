"""safetensors, ONNX, timm and a model card."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.export.nodes import export


def create_pipeline() -> Pipeline:
    return Pipeline([stage(export)])
