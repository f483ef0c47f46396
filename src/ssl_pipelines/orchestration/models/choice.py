"""Which finished model a tool reads, and at which of its layers."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.orchestration.models.named import ALLOWED, Upstream, find_model, place_of
from ssl_pipelines.orchestration.models.scores import model_eval_layer
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.stages import project_stages


@dataclass(frozen=True, slots=True)
class Models:
    """The finished models that parameters may name. `name`: of the registered model whose aliases @<alias> are."""

    tracker: Tracker | None
    name: str

    def chosen(self, block: str, given: str | None) -> Upstream:
        """The model that `<block>.model=<given>` names, else the one that this project has finished. Raises InputError, one line."""
        stage = project_stages()["pretrain"]
        if given is None:
            if not (project_root() / stage.record).is_file():
                raise InputError(
                    f"{block}.model is not given and {stage.folder} holds no finished model: "
                    f"run `kedro run --pipeline=pretrain` first, or give one ({ALLOWED}, @<alias>)"
                )
            return find_model(f"{block}.model", str(project_root() / stage.folder), self.tracker)
        return find_model(f"{block}.model={given!r}", place_of(given, self.name), self.tracker)

    def eval_layer(self, block: str, wanted: str | None, model: Upstream) -> str:
        """`model_eval_layer` by what this MLflow store knows."""
        return model_eval_layer(block, wanted, model, self.tracker)
