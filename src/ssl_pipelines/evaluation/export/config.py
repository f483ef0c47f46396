"""The block export."""

from __future__ import annotations

from ssl_pipelines.artifacts import Config
from ssl_pipelines.artifacts.config import UserPath


class ExportConfig(Config):
    """Which model is written for other tools, and where to."""

    model: UserPath | None = None
    """Model to export: a model folder, an MLflow run id, models:/name@alias or @champion; null is this project's own."""
    folder: UserPath = "data/09_export"
    """Folder to which the exported files are written, whole or not at all."""
    eval_layer: str | None = None
    """Layer that the exported files give, `final` for what `encode` gives; null is the one that the model's scores were made at."""
