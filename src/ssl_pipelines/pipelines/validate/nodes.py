"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def validate_store(store: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.orchestration.gate import make_gate
    from ssl_pipelines.orchestration.parameters import Parameters

    return make_gate(store, Parameters.of(parameters))
