"""One call into the core."""

from __future__ import annotations

from typing import Any


def search_images(parameters: dict[str, Any]) -> None:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.search import search

    search(Parameters.of(parameters))
