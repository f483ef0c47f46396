"""One call into the core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact


def diagnose_features(
    store: Artifact, model: Artifact, features: Artifact, linear_scores: Artifact, parameters: dict[str, Any]
) -> Artifact:
    from ssl_pipelines.evaluation.config import DiagnoseConfig
    from ssl_pipelines.evaluation.diagnose import diagnose
    from ssl_pipelines.evaluation.scores import Score
    from ssl_pipelines.orchestration.model_scores import stage_eval_layer
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.scoring import make_scores

    typed = Parameters.of(parameters)
    config = typed.block("diagnose", DiagnoseConfig)

    def evaluate(out: Path) -> list[Score]:
        layer = stage_eval_layer("diagnose", config.eval_layer, linear_scores.path, model.path)
        return diagnose(model.path, store.path, features.path, config, layer, typed.run.seed, typed.runtime, out)

    inputs = {"store": store, "model": model, "features": features, "linear_scores": linear_scores}
    return make_scores("diagnose", typed, inputs, evaluate)
