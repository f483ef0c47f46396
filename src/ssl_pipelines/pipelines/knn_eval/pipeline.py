"""Weighted nearest neighbors on frozen features."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.knn_eval.nodes import evaluate_knn


def create_pipeline() -> Pipeline:
    return Pipeline([Node(evaluate_knn, ["store", "features", "parameters"], "knn_scores", name="knn_eval")])
