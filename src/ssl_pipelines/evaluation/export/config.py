"""The block export."""

from __future__ import annotations

from ssl_pipelines.artifacts import Config
from ssl_pipelines.artifacts.config import UserPath


class ExportConfig(Config):
    model: UserPath | None = None  # a model folder, an MLflow run id, models:/name@alias, @champion; None: this project's
    folder: UserPath = "data/09_export"  # what it is written to, whole or not at all
    eval_layer: str | None = None
    """The layer that the exported files give, `final` for what `encode` gives. None: the one that the model's scores were made at."""
