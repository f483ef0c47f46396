"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def evaluate_finetuning(store: Artifact, model: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.evaluation.config import FinetuneConfig
    from ssl_pipelines.evaluation.finetune import finetune
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.scoring import make_scores

    typed = Parameters.of(parameters)
    config = typed.block("finetune", FinetuneConfig)
    return make_scores(
        "finetune",
        typed,
        {"store": store, "model": model},
        lambda out: finetune(model.path, store.path, config, typed.run.seed, typed.runtime, out),
    )
