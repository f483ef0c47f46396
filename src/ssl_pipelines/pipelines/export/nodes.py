"""What the tool does: one call into the pipeline's own export."""

from __future__ import annotations

from ssl_pipelines.evaluation.export.config import ExportConfig
from ssl_pipelines.orchestration.models.choice import Models


def export(export: ExportConfig, models: Models) -> None:
    """Of what stands here, or of another model: none is trained for it."""
    from ssl_pipelines.pipelines.export.exports import make_export

    make_export(export, models)
