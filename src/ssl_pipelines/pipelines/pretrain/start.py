"""What pretraining is to start from and to stand on, looked at before any stage runs: nothing is fetched, no weights are read."""

from __future__ import annotations

from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import check_model, is_reference
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.training.source import check_source


def check_start(parameters: Parameters, tracker: Tracker | None) -> None:
    """Raises InputError, one line, for `pretrain.init_from` or an earlier model that is not there or is of no known kind."""
    config = parameters.run.pretrain
    if config.init_from and is_reference(config.init_from):
        check_model(f"pretrain.init_from={config.init_from!r}", config.init_from, tracker)
    elif config.init_from:
        check_source(config.init_from)
    for name, given in config.upstream.items():
        check_model(f"pretrain.upstream.{name}={given!r}", given, tracker)
