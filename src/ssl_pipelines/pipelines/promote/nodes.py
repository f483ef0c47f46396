"""What the tool does: one call into the pipeline's own promotion."""

from __future__ import annotations

from ssl_pipelines.artifacts import Artifact
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.promote_config import PromoteConfig


def promote(store: Artifact, model: Artifact, linear_scores: Artifact, promote: PromoteConfig, tracker: Tracker) -> None:
    from ssl_pipelines.pipelines.promote import promotion

    promotion.promote(promotion.candidate_of(store, model, linear_scores), promote, tracker)
