"""What a command takes as it stands: with --from-nodes, --nodes or --tags the stages before do not run."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from ssl_pipelines.artifacts import Artifact, InputError, Record
from ssl_pipelines.orchestration.freshness.make import differs
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.session import Session
from ssl_pipelines.orchestration.stage_run import StageRun
from ssl_pipelines.orchestration.stages import Stage, project_stages

log = logging.getLogger("ssl_pipelines")


def check_standing(running: Collection[str], parameters: Parameters, session: Session) -> None:
    """Raises InputError, one line, for artifacts that are not there; those that are not what would be made now are named in one line."""
    stages = project_stages()
    read = {artifact for name in running for artifact in stages[name].inputs}
    standing = [stage for stage in stages.making if stage.artifact in read and stage.name not in running]
    missing = [stage for stage in standing if _known(stage) is None]
    if missing:
        what, names = ", ".join(stage.record for stage in missing), ",".join(stage.name for stage in missing)
        raise InputError(
            f"the stages before do not run, and what they make is missing: {what}; kedro run --pipelines={names} makes it"
        )
    stale = [f"{stage.artifact}: {why}" for stage in standing if (why := _why_stale(stage, parameters, session))]
    if stale:
        log.warning("taken as it stands, though not what would be made now: %s", "; ".join(stale))


def _known(stage: Stage) -> Record | None:
    return Record.read(project_root() / stage.record)


def _why_stale(stage: Stage, parameters: Parameters, session: Session) -> str | None:
    """By its parameters and by the artifacts that it was made from; what it read beside those is not looked at."""
    found, stages = _known(stage), project_stages()
    assert found is not None
    before = {artifact: record for artifact in stage.inputs if (record := _known(stages.that_makes(artifact)))}
    inputs = {artifact: Artifact(project_root() / stage.folder, record.fingerprint) for artifact, record in before.items()}
    wanted = StageRun(stage, parameters, inputs, session).record()
    beside = {name: digest for name, digest in found.inputs.items() if name not in stage.inputs}
    gone = stage.missing(project_root())
    return f"{gone} is missing" if gone else differs(found, replace(wanted, inputs=wanted.inputs | beside), "warn")
