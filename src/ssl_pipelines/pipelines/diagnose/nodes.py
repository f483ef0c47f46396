"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def diagnose_features(store: Artifact, model: Artifact, features: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.evaluation.config import DiagnoseConfig
    from ssl_pipelines.evaluation.diagnose import diagnose
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.scoring import make_scores

    typed = Parameters.of(parameters)
    config = typed.block("diagnose", DiagnoseConfig)
    return make_scores(
        "diagnose",
        typed,
        {"store": store, "model": model, "features": features},
        lambda out: diagnose(model.path, store.path, features.path, config, typed.run.seed, typed.runtime, out),
    )
