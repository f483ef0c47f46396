"""One call into the core."""

from __future__ import annotations

from typing import Any


def export_model(parameters: dict[str, Any]) -> None:
    from ssl_pipelines.orchestration.exports import make_export
    from ssl_pipelines.orchestration.parameters import Parameters

    make_export(Parameters.of(parameters))
