"""What the stage does: one call into the pipeline's own training."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import checked_by
from ssl_pipelines.pipelines.pretrain.start import check_start
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.runtime import RuntimeConfig


@checked_by(check_start)
def pretrain(store: Artifact, gate: Artifact, run: RunConfig, runtime: RuntimeConfig, stage: StageRun) -> Artifact:
    """`run` says what is trained; where its defaults are too large for the images of the store, they are made to fit."""
    from ssl_pipelines.pipelines.pretrain.training import clean_up, make_model

    model = make_model(store, gate, stage)
    clean_up(model.path, model.fingerprint)
    return model
