"""The whole encoder trained on the labels, against the same network from scratch."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.finetune.nodes import evaluate_finetuning


def create_pipeline() -> Pipeline:
    return Pipeline([Node(evaluate_finetuning, ["store", "model", "parameters"], "finetune_scores", name="finetune")])
