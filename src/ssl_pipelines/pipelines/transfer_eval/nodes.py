"""What the stage does: one call into the pipeline's own evaluation on other data sets."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import checked_by
from ssl_pipelines.pipelines.transfer_eval.config import TransferConfig
from ssl_pipelines.pipelines.transfer_eval.resolve import check_transfer
from ssl_pipelines.training.runtime import RuntimeConfig


@checked_by(check_transfer)
def transfer_eval(
    model: Artifact,
    linear_scores: Artifact,
    transfer_eval: TransferConfig,
    extract_features: ExtractConfig,
    seed: int,
    runtime: RuntimeConfig,
    stage: StageRun,
) -> Artifact:
    from ssl_pipelines.pipelines.transfer_eval.transfer import make_transfer

    return make_transfer(model, linear_scores, transfer_eval, extract_features, seed, runtime, stage)
