"""What the representation is like: alignment, ranks, spectrum, invariances."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import RUNS_METHODS, stage
from ssl_pipelines.pipelines.diagnose.nodes import diagnose


def create_pipeline() -> Pipeline:
    return Pipeline([stage(diagnose, "diagnosis", RUNS_METHODS)])
