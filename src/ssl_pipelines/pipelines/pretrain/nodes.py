"""One call into the core."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import Artifact


def pretrain_encoder(store: Artifact, gate: Artifact, parameters: dict[str, Any]) -> Artifact:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.pretraining import clean_up, make_model

    model = make_model(store, gate, Parameters.of(parameters))
    clean_up(model.path, model.fingerprint)
    return model
