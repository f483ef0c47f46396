"""What the stage does: one call into the core, and a page of what came out."""

from __future__ import annotations

from pathlib import Path

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.evaluation.config import FewLabelsConfig
from ssl_pipelines.evaluation.scores import Score
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import checked_by
from ssl_pipelines.pipelines.few_labels.checks import check_few_labels
from ssl_pipelines.training.runtime import RuntimeConfig


@checked_by(check_few_labels)
def few_labels(
    store: Artifact,
    model: Artifact,
    features: Artifact,
    linear_scores: Artifact,
    few_labels: FewLabelsConfig,
    seed: int,
    runtime: RuntimeConfig,
    stage: StageRun,
) -> Artifact:
    from ssl_pipelines.evaluation import few_labels as core
    from ssl_pipelines.orchestration.models.scores import stage_eval_layer
    from ssl_pipelines.reporting.few_labels import write_few_labels_page

    def evaluate(out: Path) -> list[Score]:
        layer = stage_eval_layer("few_labels", few_labels.eval_layer, linear_scores.path, model.path)
        scores = core.few_labels(model.path, store.path, features.path, few_labels, layer, seed, runtime, out)
        write_few_labels_page(out, store.path, model.path)
        return scores

    return stage.scores(evaluate, pages=True)
