"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def extract_all_features(store: Artifact, model: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.orchestration.extraction import make_features
    from ssl_pipelines.orchestration.parameters import Parameters

    return make_features(store, model, Parameters.of(parameters))
