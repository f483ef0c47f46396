"""Images like this one."""

from kedro.pipeline import Node, Pipeline

from ssl_pipelines.pipelines.search.nodes import search_images


def create_pipeline() -> Pipeline:
    return Pipeline([Node(search_images, ["parameters"], None, name="search")])
