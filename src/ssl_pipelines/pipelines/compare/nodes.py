"""One call into the core."""

from __future__ import annotations

from typing import Any


def compare_runs(parameters: dict[str, Any]) -> None:
    from ssl_pipelines.orchestration.comparison import write_comparison
    from ssl_pipelines.orchestration.parameters import Parameters

    write_comparison(Parameters.of(parameters))
