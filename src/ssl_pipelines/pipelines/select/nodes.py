"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def select_images(store: Artifact, features: Artifact, linear_scores: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.selection import make_selection

    return make_selection(store, features, linear_scores, Parameters.of(parameters))
