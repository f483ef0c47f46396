"""Few labels, and whether pretraining is worth it: shares of the labels and n a class, drawn many times."""

from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import ON_REQUEST, RUNS_METHODS, stage
from ssl_pipelines.pipelines.few_labels.nodes import few_labels


def create_pipeline() -> Pipeline:
    return Pipeline([stage(few_labels, "few_labels_scores", RUNS_METHODS, ON_REQUEST)])
