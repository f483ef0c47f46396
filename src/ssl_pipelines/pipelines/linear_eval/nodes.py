"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def evaluate_linear(store: Artifact, features: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.evaluation.config import LinearConfig
    from ssl_pipelines.evaluation.linear import linear_eval
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.scoring import make_scores

    typed = Parameters.of(parameters)
    config = typed.block("linear_eval", LinearConfig)
    return make_scores(
        "linear_eval",
        typed,
        {"store": store, "features": features},
        lambda out: linear_eval(features.path, store.path, config, typed.run.seed, out),
    )
