"""Logistic regression on frozen features."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.linear_eval.nodes import evaluate_linear


def create_pipeline() -> Pipeline:
    return Pipeline([Node(evaluate_linear, ["store", "features", "parameters"], "linear_scores", name="linear_eval")])
