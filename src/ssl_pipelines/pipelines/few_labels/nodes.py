"""One call into the core, and a page of what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_pipelines.artifacts import Artifact


def evaluate_few_labels(
    store: Artifact, model: Artifact, features: Artifact, linear_scores: Artifact, parameters: dict[str, Any]
) -> Artifact:
    from ssl_pipelines.evaluation.config import FewLabelsConfig
    from ssl_pipelines.evaluation.few_labels import few_labels
    from ssl_pipelines.evaluation.scores import Score
    from ssl_pipelines.orchestration.model_scores import stage_eval_layer
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.scoring import make_scores
    from ssl_pipelines.reporting.few_labels import write_few_labels_page

    typed = Parameters.of(parameters)
    config = typed.block("few_labels", FewLabelsConfig)

    def evaluate(out: Path) -> list[Score]:
        layer = stage_eval_layer("few_labels", config.eval_layer, linear_scores.path, model.path)
        scores = few_labels(model.path, store.path, features.path, config, layer, typed.run.seed, typed.runtime, out)
        write_few_labels_page(out, store.path, model.path)
        return scores

    inputs = {"store": store, "model": model, "features": features, "linear_scores": linear_scores}
    return make_scores("few_labels", typed, inputs, evaluate, pages=True)
