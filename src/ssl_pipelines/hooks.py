"""Kedro's hooks: parameters are checked before any node, and the MLflow run learns how the command ended."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from kedro.framework.hooks import hook_impl

UNTRACKED = {"ingest", "validate", "embed", "search"}  # they tell MLflow nothing


class ProjectHooks:
    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        from ssl_pipelines.orchestration.layer_checks import check_layers
        from ssl_pipelines.orchestration.parameters import Parameters
        from ssl_pipelines.orchestration.provenance import git_commit
        from ssl_pipelines.orchestration.rooms import ROOMS
        from ssl_pipelines.orchestration.session import Session, begin
        from ssl_pipelines.orchestration.start import check_start
        from ssl_pipelines.orchestration.tracking import Tracker
        from ssl_pipelines.training.runtime import set_threads

        command = " ".join([Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])])
        asked = tuple(run_params.get("pipeline_names") or ())
        parameters = Parameters.of(catalog.load("parameters"))
        set_threads(parameters.runtime)  # for every stage, also those that use no device
        tracker = Tracker(command, git_commit())
        begin(Session(asked, command, parameters, tracker))
        stages = {node.name for node in pipeline.nodes}
        if stages - UNTRACKED:
            tracker.check()
        if "pretrain" in stages:
            check_start(parameters, tracker)
        for check in (ROOMS[name].check for name in asked if name in ROOMS):
            if check:  # before hours of training, not after
                resolve_name(check)(parameters, tracker)
        check_layers(parameters, stages)

    @hook_impl
    def after_pipeline_run(self) -> None:
        self._finish("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        self._finish("FAILED")

    def _finish(self, status: str) -> None:
        from ssl_pipelines.orchestration.session import current

        tracker = current().tracker
        if tracker is not None:
            tracker.finish(status)
