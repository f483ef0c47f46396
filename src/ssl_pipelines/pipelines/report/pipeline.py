"""metrics.json and report.html."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.report.nodes import write_report


def create_pipeline() -> Pipeline:
    return Pipeline(
        [
            Node(
                write_report,
                ["store", "gate", "model", "features", "linear_scores", "knn_scores", "diagnosis", "finetune_scores", "parameters"],
                "report",
                name="report",
            )
        ]
    )
