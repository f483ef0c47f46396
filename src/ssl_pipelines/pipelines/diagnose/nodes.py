"""What the stage does: one call into the core, at the layer that linear_eval chose or the user names."""

from __future__ import annotations

from pathlib import Path

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import DiagnoseConfig
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.training.runtime import RuntimeConfig


def diagnose(
    store: Artifact,
    model: Artifact,
    features: Artifact,
    linear_scores: Artifact,
    diagnose: DiagnoseConfig,
    seed: int,
    runtime: RuntimeConfig,
    stage: StageRun,
) -> Artifact:
    from ssl_pipelines.evaluation import diagnose as core
    from ssl_pipelines.orchestration.models.scores import stage_eval_layer

    def evaluate(out: Path) -> list[Score]:
        layer = stage_eval_layer("diagnose", diagnose.eval_layer, linear_scores.path, model.path)
        return core.diagnose(model.path, store.path, features.path, diagnose, layer, seed, runtime, out)

    return stage.scores(evaluate)
