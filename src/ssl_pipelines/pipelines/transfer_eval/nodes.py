"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def evaluate_transfer(model: Artifact, linear_scores: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.transfer import make_transfer

    return make_transfer(model, linear_scores, Parameters.of(parameters))
