"""Kedro's hooks: parameters are checked before any node, nodes are given what a run knows, and MLflow learns how the command ended."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

if TYPE_CHECKING:
    from ssl_pipelines.orchestration.parameters import Parameters
    from ssl_pipelines.orchestration.session import Session

UNTRACKED = {"ingest", "validate", "embed", "search"}  # they tell MLflow nothing


class ProjectHooks:
    def __init__(self) -> None:
        self.parameters: Parameters | None = None
        self.session: Session | None = None  # of the command that runs

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """The whole tree is checked, in one line, whichever pipelines are asked for; Kedro then finds typed blocks where it looks."""
        from ssl_pipelines.orchestration.parameters import Parameters

        self.session = None
        tree = context.config_loader["parameters"]
        self.parameters = Parameters.of(tree)
        context.config_loader["parameters"] = {**tree, **self.parameters.blocks, "seed": self.parameters.run.seed}

    @hook_impl
    def after_catalog_created(self, catalog: Any) -> None:
        from dataclasses import fields

        from kedro.io import MemoryDataset

        from ssl_pipelines.orchestration.entries import Entries

        for entry in fields(Entries):  # known to all that lists or draws the catalog; filled where something runs
            catalog[entry.name] = MemoryDataset(copy_mode="assign")

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Any, catalog: Any) -> None:
        from ssl_pipelines.orchestration.entries import Entries
        from ssl_pipelines.orchestration.layer_checks import check_layers
        from ssl_pipelines.orchestration.mlflow.tracking import Tracker
        from ssl_pipelines.orchestration.provenance import git_commit
        from ssl_pipelines.orchestration.session import Session
        from ssl_pipelines.orchestration.stages import project_stages
        from ssl_pipelines.orchestration.standing import check_standing
        from ssl_pipelines.training.runtime import set_threads

        assert self.parameters is not None
        parameters, asked = self.parameters, tuple(run_params.get("pipeline_names") or ())
        set_threads(parameters.runtime)  # for every stage, also those that use no device
        command = " ".join([Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])])
        tracker = Tracker(command, git_commit())
        session = self.session = Session(asked, command, tracker)
        names = {node.name for node in pipeline.nodes}
        if names - UNTRACKED:
            tracker.check()
        for name in project_stages():
            if name in names:
                project_stages()[name].check(parameters, tracker)
        check_layers(parameters, names)
        check_standing(names, parameters, session)
        for name, entry in Entries.of(parameters, session).items():
            catalog.save(name, entry)

    @hook_impl
    def before_node_run(self, node: Any, inputs: dict[str, Any]) -> dict[str, Any] | None:
        """The entry `stage` is the node's own."""
        from ssl_pipelines.orchestration.entries import stage_run
        from ssl_pipelines.orchestration.stages import project_stages

        if "stage" not in inputs:
            return None
        assert self.parameters is not None
        assert self.session is not None
        return {"stage": stage_run(project_stages()[node.name], inputs, self.parameters, self.session)}

    @hook_impl
    def after_pipeline_run(self) -> None:
        """The last screen; InputError where what was asked for by name could not be done."""
        from ssl_pipelines.artifacts import InputError
        from ssl_pipelines.orchestration.summary import print_summary

        self.finish("FINISHED")
        assert self.session is not None
        unmet = self.session.unmet()
        if unmet:
            raise InputError(unmet)
        print_summary(self.session)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        self.finish("FAILED")

    def finish(self, status: str) -> None:
        """Closes the MLflow run of the command, if it has opened one."""
        if self.session is not None:
            self.session.finish(status)
