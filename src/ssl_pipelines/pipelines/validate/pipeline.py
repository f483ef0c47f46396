"""The gate: what the store must be before anything trains on it."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.validate.nodes import validate_store


def create_pipeline() -> Pipeline:
    return Pipeline([Node(validate_store, ["store", "parameters"], "gate", name="validate")])
