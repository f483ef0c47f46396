"""The encoder on other data sets."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.transfer_eval.nodes import evaluate_transfer


def create_pipeline() -> Pipeline:
    return Pipeline([Node(evaluate_transfer, ["model", "linear_scores", "parameters"], "transfer_scores", name="transfer_eval")])
