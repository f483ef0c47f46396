"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def write_report(
    store: Artifact,
    gate: Artifact,
    model: Artifact,
    features: Artifact,
    linear_scores: Artifact,
    knn_scores: Artifact,
    diagnosis: Artifact,
    finetune_scores: Artifact,
    parameters: dict[str, Any],
) -> Artifact:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.reports import make_report

    inputs = {"store": store, "gate": gate, "model": model, "features": features}
    scores = {"linear_scores": linear_scores, "knn_scores": knn_scores, "diagnosis": diagnosis, "finetune_scores": finetune_scores}
    return make_report(inputs | scores, Parameters.of(parameters))
