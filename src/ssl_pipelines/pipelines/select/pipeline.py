"""Which images to label next."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.select.nodes import select_images


def create_pipeline() -> Pipeline:
    return Pipeline([Node(select_images, ["store", "features", "linear_scores", "parameters"], "selection", name="select")])
