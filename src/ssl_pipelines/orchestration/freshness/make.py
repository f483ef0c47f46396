"""Make unless fresh: existence is not enough, parameters, inputs and code are compared, and the answer is said."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ssl_pipelines.artifacts import Artifact, Record, new_folder
from ssl_pipelines.artifacts.code import EARLIER, Code
from ssl_pipelines.artifacts.files import recover_folder, replace_files
from ssl_pipelines.artifacts.lock import only_writer
from ssl_pipelines.orchestration.paths import shown

log = logging.getLogger("ssl_pipelines")
SHOWN = 3  # changes named in one line
Build = Callable[[Path, Record], str | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is made, and what is to be there once it is.

    `outputs` are files or folders below `folder`, or empty where all of `folder` is replaced. `resumes`: what was done so far lies in
    `folder`, and `build` puts its outputs there itself, after the record has gone. `lock`: of its one writer; None where the caller has
    one already."""

    name: str  # in what is said
    folder: Path
    record: Path
    outputs: tuple[str, ...] = ()
    resumes: bool = False
    lock: Path | None = None

    def missing(self) -> str | None:
        """The first of the outputs that is not there."""
        return next((shown(self.folder / name) for name in self.outputs if not (self.folder / name).exists()), None)


class Recorded(Protocol):
    """What is compared: a digest of parameters and inputs, the code; and parameters and inputs themselves, where they are known."""

    @property
    def recipe(self) -> str: ...
    @property
    def code(self) -> Code: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def inputs(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Digests:
    """`Recorded` where digests alone are kept."""

    recipe: str
    code: Code
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


def make(place: Place, wanted: Record, build: Build, on_code_change: str = "warn") -> tuple[Artifact, float | None]:
    """(what stands there if it is fresh, else what `build` makes; the seconds that took, None where nothing was made).

    `build(folder, record)` writes into an empty folder, whose contents take their place when all of them are there (into the place's own,
    where it resumes), and may return the fingerprint by which the artifact shall be known; the record's recipe otherwise."""

    def asked() -> str | None:
        return why_stale(place, Record.read(place.record), wanted, on_code_change)

    reason = asked()
    if reason is not None:
        with _alone(place):
            if not place.outputs:
                recover_folder(place.folder)
                reason = asked()  # a kill may have left it beside its place
            if reason is not None:
                log.info("%s: %s", place.name, reason)
                began = time.monotonic()
                return _made(place, wanted, build), time.monotonic() - began
    found = Record.read(place.record)
    assert found is not None
    return Artifact(place.folder, found.fingerprint), None


def _alone(place: Place) -> AbstractContextManager[object]:
    return nullcontext() if place.lock is None else only_writer(place.lock)


def _made(place: Place, wanted: Record, build: Build) -> Artifact:
    folder = place.folder
    if place.resumes:
        folder.mkdir(parents=True, exist_ok=True)
        fingerprint = build(folder, wanted) or wanted.recipe
        replace(wanted, fingerprint=fingerprint).write(place.record)
    elif place.outputs:
        own = place.record.name.split(".")[0]
        aside = folder / f".{own}"
        with new_folder(aside) as fresh:
            fingerprint = build(fresh, wanted) or wanted.recipe
        # The record first: it would vouch for what is not its own while the files are moved.
        replace_files(folder, aside, [place.record, *folder.glob(f"{own}.*"), *(folder / name for name in place.outputs)])
        aside.rmdir()
        replace(wanted, fingerprint=fingerprint).write(place.record)
    else:
        with new_folder(folder) as fresh:
            fingerprint = build(fresh, wanted) or wanted.recipe
            replace(wanted, fingerprint=fingerprint).write(fresh / place.record.relative_to(folder))
    return Artifact(folder, fingerprint)


def why_stale(place: Place, found: Record | None, wanted: Record, on_code_change: str) -> str | None:
    """One line why it must be made, or None; in that case the log says that it is up to date."""
    gone = place.missing() if found is not None else None
    return f"{gone} is missing" if gone is not None else why_other(place.name, found, wanted, on_code_change)


def why_other(name: str, found: Recorded | None, wanted: Recorded, on_code_change: str, where: str = "") -> str | None:
    """`differs`, and a line in the log where nothing has to be made: that it is up to date, or that its code is another by now.

    `where`: what stands there, for that line."""
    reason = differs(found, wanted, on_code_change)
    if reason is None and found is not None:
        after = f": {where}" if where else ""
        changed = _changed_code(found, wanted)
        if changed is None:
            log.info("%s: up to date%s", name, after)
        else:
            what = (
                f"{changed} and cannot be compared" if not found.code.compares else changed.replace("changed", "changed since", 1)
            )
            log.warning("%s: up to date, but %s (runtime.on_code_change=rerun makes it anew)%s", name, what, after)
    return reason


def differs(found: Recorded | None, wanted: Recorded, on_code_change: str) -> str | None:
    """Why `found` is not what would be made now, or None. Changed code counts only where `on_code_change` is "rerun"."""
    if found is None:
        return "nothing there yet"
    if found.recipe != wanted.recipe:
        return _difference(found, wanted)
    return _changed_code(found, wanted) if on_code_change == "rerun" else None


def _changed_code(found: Recorded, wanted: Recorded) -> str | None:
    changed = found.code.changed_in(wanted.code)
    if not changed:
        return None
    if not found.code.compares:
        return f"its code was {EARLIER}"
    return f"code changed in {_first(changed)}" if found.code.definitions else "its code has changed since"


def _difference(found: Recorded, wanted: Recorded) -> str:
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
    return _first(lines + inputs, "; ") or "its parameters or the data have changed since"


def _first(lines: list[str], mark: str = ", ") -> str:
    more = f"{mark}and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return mark.join(lines[:SHOWN]) + more


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
