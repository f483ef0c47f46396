"""What the stage does: one call into the core."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import FinetuneConfig
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.training.runtime import RuntimeConfig


def finetune(
    store: Artifact, model: Artifact, finetune: FinetuneConfig, seed: int, runtime: RuntimeConfig, stage: StageRun
) -> Artifact:
    from ssl_pipelines.evaluation import finetune as tuning

    return stage.scores(lambda out: tuning.finetune(model.path, store.path, finetune, seed, runtime, out))
