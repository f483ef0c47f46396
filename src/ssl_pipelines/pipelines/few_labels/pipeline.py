"""Few labels, and whether pretraining is worth it: shares of the labels and n a class, drawn many times."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.few_labels.nodes import evaluate_few_labels


def create_pipeline() -> Pipeline:
    return Pipeline(
        [
            Node(
                evaluate_few_labels,
                ["store", "model", "features", "linear_scores", "parameters"],
                "few_labels_scores",
                name="few_labels",
            )
        ]
    )
