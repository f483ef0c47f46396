"""One call into the core."""

from __future__ import annotations

from typing import Any


def embed_images(parameters: dict[str, Any]) -> None:
    from ssl_pipelines.orchestration.inference import embed
    from ssl_pipelines.orchestration.parameters import Parameters

    embed(Parameters.of(parameters))
