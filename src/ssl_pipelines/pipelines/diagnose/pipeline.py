"""What the representation is like: alignment, ranks, spectrum, invariances."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.diagnose.nodes import diagnose_features


def create_pipeline() -> Pipeline:
    return Pipeline(
        [Node(diagnose_features, ["store", "model", "features", "linear_scores", "parameters"], "diagnosis", name="diagnose")]
    )
