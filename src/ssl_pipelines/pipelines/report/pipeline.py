"""metrics.json and report.html."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import stage
from ssl_pipelines.pipelines.report.nodes import report


def create_pipeline() -> Pipeline:
    return Pipeline([stage(report, "report")])
