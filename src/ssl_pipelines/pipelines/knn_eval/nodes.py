"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def evaluate_knn(store: Artifact, features: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.evaluation.config import KnnConfig
    from ssl_pipelines.evaluation.knn import knn_eval
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.scoring import make_scores

    typed = Parameters.of(parameters)
    config = typed.block("knn_eval", KnnConfig)
    return make_scores(
        "knn_eval",
        typed,
        {"store": store, "features": features},
        lambda out: knn_eval(features.path, store.path, config, typed.run.seed, out),
    )
