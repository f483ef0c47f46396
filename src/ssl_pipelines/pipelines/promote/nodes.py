"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def promote_model(store: Artifact, model: Artifact, linear_scores: Artifact, parameters: dict[str, Any]) -> None:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.promotion import candidate_of, promote

    promote(candidate_of(store, model, linear_scores), Parameters.of(parameters))
