"""Is what stands there what would be made now? Existence is not enough: parameters, inputs and code are compared, and the answer is said."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ssl_pipelines.artifacts import Artifact, Record, new_folder
from ssl_pipelines.artifacts.code import EARLIER, code_of
from ssl_pipelines.artifacts.files import recover_folder, replace_files
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.paths import project_root
from ssl_pipelines.orchestration.rooms import CUT, Room, roots_of
from ssl_pipelines.orchestration.session import current

log = logging.getLogger("ssl_pipelines")
SHOWN = 3  # changes named in one line


def make(
    room: Room,
    parameters: Parameters,
    inputs: dict[str, str],
    build: Callable[[Path, Record], str | None],
    *,
    extra: dict[str, str] | None = None,
) -> Artifact:
    """The room's artifact: the one that stands there if it is fresh, else the one that `build` makes.

    `inputs` artifact -> fingerprint. `build(folder, record)` writes into an empty folder, whose contents take their place when all of them
    are there (into the room's own, where the room resumes), and may return the fingerprint by which later rooms shall know the
    artifact; the record's recipe otherwise."""
    root = project_root()
    folder, path = root / room.folder, root / room.record
    wanted = record_of(room, parameters, inputs | (extra or {}))

    def asked() -> str | None:
        return why_stale(room, Record.read(path), wanted, folder, parameters.runtime.on_code_change)

    reason = asked()
    if reason is not None:
        with only_writer(root / "data" / ".locks" / f"{room.name}.lock"):
            if not room.outputs:
                recover_folder(folder)
                reason = asked()  # a kill may have left it beside its place
            if reason is not None:
                return _made(room, folder, path, reason, wanted, build)
    found = Record.read(path)
    assert found is not None
    current().note(room.name, None)
    return Artifact(folder, found.fingerprint)


def _made(
    room: Room, folder: Path, path: Path, reason: str, wanted: Record, build: Callable[[Path, Record], str | None]
) -> Artifact:
    """The caller holds the room's lock. `path` is the record's."""
    log.info("%s: %s", room.name, reason)
    began = time.monotonic()
    if room.resumes:
        folder.mkdir(parents=True, exist_ok=True)
        fingerprint = build(folder, wanted) or wanted.recipe
        replace(wanted, fingerprint=fingerprint).write(path)
    elif room.outputs:
        aside = folder / f".{room.name}"
        with new_folder(aside) as fresh:
            fingerprint = build(fresh, wanted) or wanted.recipe
        # The record first: it would vouch for what is not its own while the files are moved.
        replace_files(folder, aside, [path, *folder.glob(f"{room.name}.*"), *(folder / name for name in room.outputs)])
        aside.rmdir()
        replace(wanted, fingerprint=fingerprint).write(path)
    else:
        with new_folder(folder) as fresh:
            fingerprint = build(fresh, wanted) or wanted.recipe
            replace(wanted, fingerprint=fingerprint).write(fresh / path.name)
    current().note(room.name, time.monotonic() - began)
    return Artifact(folder, fingerprint)


def record_of(room: Room, parameters: Parameters, inputs: dict[str, str]) -> Record:
    """What the room would make now from these inputs."""
    first = [one.run.method for one in parameters.first.values()] if room.artifact == "model" else []
    code = code_of(*roots_of(room, parameters.run.method, *first), cut=CUT)
    return Record(flatten(parameters.read_by(room.parameters)), inputs, code)


def why_stale(room: Room, found: Record | None, wanted: Record, folder: Path, on_code_change: str) -> str | None:
    """One line why the room must run, or None. Changed code is said, and reruns only when told so."""
    if found is None:
        return "nothing there yet"
    gone = missing(room, folder)
    if gone is not None:
        return f"{gone} is missing"
    if found.recipe != wanted.recipe:
        return _difference(found, wanted)
    changed = found.code.changed_in(wanted.code)
    known = found.code.compares
    if changed and on_code_change == "rerun":
        return f"code changed in {_first(changed)}" if known else f"its code was {EARLIER}"
    if changed:
        what = f"code changed since in {_first(changed)}" if known else f"its code was {EARLIER} and cannot be compared"
        log.warning("%s: up to date, but %s (runtime.on_code_change=rerun makes it anew)", room.name, what)
    else:
        log.info("%s: up to date", room.name)
    return None


def missing(room: Room, folder: Path) -> str | None:
    """The first of the room's outputs that is not there."""
    return next((f"{room.folder}/{name}" for name in room.outputs if not (folder / name).exists()), None)


def _difference(found: Record, wanted: Record) -> str:
    keys = sorted(found.parameters.keys() | wanted.parameters.keys())
    lines = [
        f"{key} {_short(found.parameters.get(key))} -> {_short(wanted.parameters.get(key))}"
        for key in keys
        if found.parameters.get(key) != wanted.parameters.get(key)
    ]
    # A method's own block changes with its name: the name says it all.
    lines = next(([line] for line in lines if line.startswith("method ")), lines)
    names = sorted(found.inputs.keys() | wanted.inputs.keys())
    inputs = [f"{name} changed" for name in names if found.inputs.get(name) != wanted.inputs.get(name)]
    return _first(lines + inputs, "; ")


def _first(lines: list[str], mark: str = ", ") -> str:
    more = f"{mark}and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return mark.join(lines[:SHOWN]) + more


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
