"""What the stage does: one call into the pipeline's own selection."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import SelectConfig
from ssl_pipelines.orchestration.stage_run import StageRun


def select(
    store: Artifact, features: Artifact, linear_scores: Artifact, select: SelectConfig, seed: int, stage: StageRun
) -> Artifact:
    from ssl_pipelines.pipelines.select.selection import make_selection

    return make_selection(store, features, linear_scores, select, seed, stage)
