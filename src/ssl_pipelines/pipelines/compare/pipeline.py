"""Several runs on one page."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.compare.nodes import compare_runs


def create_pipeline() -> Pipeline:
    return Pipeline([Node(compare_runs, ["parameters"], None, name="compare")])
