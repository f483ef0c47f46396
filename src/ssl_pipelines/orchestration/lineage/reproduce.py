"""How to get a number again: the commit, the data, and a command that gives every parameter which conf/base at that commit does not."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.code import EARLIER, Code, Program, code_of
from ssl_pipelines.artifacts.definitions import PACKAGE
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.methods.config import deep_merge
from ssl_pipelines.orchestration.freshness.dvc import PARAMETERS
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.provenance import git
from ssl_pipelines.orchestration.stages import CUT, Stage, project_stages

SOURCE = f"src/{PACKAGE}"
TRIES, SHOWN = 8, 3
NAMED = ("transfer_eval.datasets.", "transfer_eval.models.")  # what lies below bears the user's names: the defaults have none
PLACE = (".reader", ".root")
FIRST = ("dataset.reader", "method", "backbone.name", "pretrain.optimizer.name")  # on them the other keys' defaults depend


def reproduce(
    stage: Stage, wanted: Mapping[str, Any], code: Iterable[Code], origin: Mapping[str, Any], root: Path
) -> Iterator[str]:
    """Lines to type in a fresh clone, and comments where something is to be known.

    wanted: all parameters, flat; code: what ran, a stage each; origin: git_commit, upstream, threads."""
    said = str(origin.get("git_commit") or "unknown")
    commit, dirty = said.removesuffix("+dirty"), said.endswith("+dirty")
    text = git("show", f"{commit}:{PARAMETERS}", root=root)
    if text is None:
        yield f"# commit {commit} is not in this repository: with other code the value may be another"
        text = (root / PARAMETERS).read_bytes()
    else:
        yield f"git checkout {commit}"
        program = program_at(root, commit)
        ran = list(code)
        other = sorted({name for one in ran if one.compares for name in one.changed_in(code_in(one.roots, program))})
        if not all(one.compares for one in ran):
            yield f"# the code that ran was {EARLIER}: whether it was the commit's cannot be told"
        if other:
            yield f"# the code that ran was not the commit's: {', '.join(other[:SHOWN])} differed, so the value may be another"
        elif dirty and all(one.compares for one in ran):
            yield "# there were uncommitted changes then, none of them in the code that ran"
    yield from _data(wanted, root)
    overrides, left = differing(yaml.safe_load(text), wanted, stage)
    if left:
        yield f"# cannot be given again with today's code: {'; '.join(left[:SHOWN])}"
    for name, given in (origin.get("upstream") or {}).items():
        if f"pretrain.upstream.{name}" in overrides:
            yield f"# stands on the {name} of MLflow run {given.get('mlflow_run_id')}, which this store must have"
    yield f"dvc repro {stage.name}" if not overrides and not stage.on_request else command(stage, overrides)
    yield f"# on the same machine with {_threads(origin)} the same value; elsewhere within its interval"


def _threads(origin: Mapping[str, Any]) -> str:
    count = origin.get("threads")
    return "as many threads" if count is None else f"OMP_NUM_THREADS={count}, as it was trained,"


def command(stage: Stage, overrides: Mapping[str, Any]) -> str:
    given = ",".join(f"{key}={_text(value)}" for key, value in overrides.items())
    return f"kedro run --pipeline={stage.name}" + (f" --params {shlex.quote(given)}" if given else "")


def differing(base: Mapping[str, Any], wanted: Mapping[str, Any], stage: Stage) -> tuple[dict[str, Any], list[str]]:
    """(what to give beside `base` so that the stage and those before it read what is wanted, the keys for which nothing helps)."""
    keys = tuple(key for one in project_stages().before(stage.name) for key in one.parameters)
    transferred = tuple(name for name in NAMED if name.partition(".")[0] in keys)
    overrides: dict[str, Any] = {}
    for _ in range(TRIES):
        try:
            found = flatten(Parameters.of(deep_merge(dict(base), nested(overrides))).read_by(keys))
        except InputError as error:
            return overrides, [str(error)]
        found |= {key: value for key, value in overrides.items() if key.startswith("pretrain.upstream.")}
        other = {key: wanted[key] for key in found.keys() & wanted.keys() if _plain(found[key]) != _plain(wanted[key])}
        other |= {key: value for key, value in wanted.items() if key.startswith("pretrain.upstream.") and key not in found}
        other.pop("pretrain.upstream", None)
        other |= {key: value for key, value in wanted.items() if key.startswith(transferred) and key not in found}
        if not other:
            return dict(sorted(overrides.items())), []
        first = next((key for key in FIRST if key in other), None)
        if first == "dataset.reader":
            chosen = {key: value for key, value in other.items() if key.startswith("dataset.")}
        elif first is not None:
            chosen = {first: other[first]}
        else:  # of a further data set its reader and place come first: the other keys have defaults then
            chosen = {
                key: value for key, value in other.items() if key.startswith(transferred) and key.endswith(PLACE) and value
            } or other
        if all(key in overrides for key in chosen):
            break
        overrides |= chosen
    return dict(sorted(overrides.items())), sorted(other)


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}: flatten, undone."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, leaf = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[leaf] = value
    return tree


def _plain(value: Any) -> Any:
    """Tuples and lists are one here, as they are in JSON."""
    return json.loads(json.dumps(value, default=str))


def _text(value: Any) -> str:
    if isinstance(value, str) and value and all(letter.isalnum() or letter in "._-/" for letter in value):
        return value
    return json.dumps(value)


def _data(wanted: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Where the raw files come from; a reader without a root brings its own."""
    place = wanted.get("dataset.root")
    if place and (root / f"{place}.dvc").is_file():
        yield f"dvc pull {place}.dvc"
    elif place:
        yield f"# put the same raw files at {place}"


def program_at(root: Path, commit: str) -> Program:
    """The package's source at a commit; empty where the repository does not have it."""
    archive = git("archive", commit, SOURCE, root=root)
    texts: dict[str, str] = {}
    if archive is not None:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files:
                file = files.extractfile(member) if member.name.endswith(".py") else None
                if file is not None:
                    texts[member.name.removeprefix(f"{SOURCE}/")] = file.read().decode()
    return Program(texts.get)


def code_in(roots: Sequence[str], program: Program | None = None) -> Code:
    """What `roots` reach in `program` (None: in the package as it lies here); nothing where one of them is not there."""
    try:
        return (program.code if program else code_of)(*roots, cut=CUT)
    except LookupError:
        return Code(tuple(roots))
