"""What few_labels is asked for that can be refused before any room runs."""

from __future__ import annotations

from ssl_pipelines.evaluation.config import FewLabelsConfig
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.parameters import Parameters


def check_few_labels(parameters: Parameters, tracker: Tracker | None) -> None:
    """Raises InputError for a wrong value and for a name that timm has no weights for."""
    config = parameters.block("few_labels", FewLabelsConfig)
    if config.timm is not None:
        from ssl_pipelines.evaluation.imagenet import check_name  # timm's list of models takes seconds

        check_name(config.timm)
