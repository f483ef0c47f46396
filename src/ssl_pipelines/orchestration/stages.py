"""The stages, read from Kedro's pipelines and catalog: what each reads, by which parameters, where it writes, and what code it runs.

Nothing here is written down a second time. A node's signature says its inputs, the catalog says where its artifact lies."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_type_hints

import yaml
from kedro.pipeline import Node, Pipeline

from ssl_pipelines.artifacts import Artifact, Config
from ssl_pipelines.artifacts.code import ROOT, frontier_of
from ssl_pipelines.artifacts.definitions import PACKAGE
from ssl_pipelines.methods.registry import class_root
from ssl_pipelines.orchestration.paths import project_root

F = TypeVar("F", bound=Callable[..., Any])
CHECK = "check"  # attribute of a node's function
ON_REQUEST = "on_request"  # tag of what runs where it is named: no part of `__default__`, nor of `dvc repro`
CATALOG = "conf/base/catalog.yml"  # below the root; elsewhere this checkout's holds
RUNS_METHODS = "runs_methods"  # tag of a stage whose code is also that of the method at hand
PARAMETERS = "params:"
RUN = "run"  # the entry that holds all that pretraining computes
RUN_KEYS = ("method", "methods", "backbone", "pretrain", "seed")  # of the parameter tree: what `run` is resolved from
RUNTIME = "runtime"  # the block that says how a run is carried out, never what it computes: no part of any fingerprint
OF_THE_RUN = ("RuntimeConfig", "num_workers")  # a node hands them on; the code that takes them says what they do there
NODES = f"{PACKAGE}.pipelines"
PLUMBING = f"{PACKAGE}.orchestration"
JUDGING = f"{PLUMBING}.validation"  # the expectations are what the stage validate computes
# What is not followed. The table of methods only says where each lies, and the class that runs is a root of its own. What the blocks of a
# run are resolved to is in every fingerprint, value by value, so the functions that resolve them need not be in the code as well. How
# threads wait, and how many there are, is the runtime's matter. What nodes exchange, and the notes beside it, are plumbing.
CUT = {
    "*": ("TABLE", "set_thread_environment", "usable_cores", "Artifact", "Record"),
    "ssl_pipelines.training.config:RunConfig": ("method_config", "resolved_backbone", "resolved_optimizer", "check_views"),
}


def stage(function: Callable[..., Any], artifact: str | None = None, *tags: str) -> Node:
    """Kedro's node of a stage. Its name is the function's, its inputs are the function's arguments by their types.

    Artifact: the entry of that name in the catalog. A block of parameters, or the seed: `params:<name>`. Whatever else: an entry of that
    name which the hooks put into the catalog (`Entries`). `artifact`: what it writes; a tool writes none."""
    hints = get_type_hints(function)
    inputs = {name: _entry(name, hints[name]) for name in inspect.signature(function).parameters}
    return Node(function, inputs, artifact, name=function.__name__, tags=tags if artifact else {*tags, ON_REQUEST})


def checked_by(check: Callable[..., object]) -> Callable[[F], F]:
    """Of a node's function: `check(parameters, tracker)` is called before any stage runs, where this one is to.

    InputError from it ends the command: what can be refused is refused before hours of training."""

    def mark(function: F) -> F:
        setattr(function, CHECK, check)
        return function

    return mark


def _entry(name: str, hint: Any) -> str:
    is_block = isinstance(hint, type) and issubclass(hint, Config) and name != RUN
    return f"{PARAMETERS}{name}" if is_block or name == "seed" else name


@dataclass(frozen=True, slots=True)
class Stage:
    """`outputs` are files or folders below `folder`, or empty where the stage owns the whole folder. Of a tool, only name and inputs count."""

    name: str
    artifact: str  # the name of its entry in the catalog; "": a tool, on which nothing stands
    folder: str  # below the project's root
    inputs: tuple[str, ...]  # artifacts
    parameters: tuple[str, ...]  # keys of Parameters.read_by
    function: Callable[..., Any]
    outputs: tuple[str, ...] = ()
    resumes: bool = False  # what it has done so far lies in its folder: it puts its outputs there itself, after its record has gone
    unstable: tuple[
        str, ...
    ] = ()  # outputs with clock times or run ids: equal results differ in them, so that no stage depends on them
    metrics: str = ""  # the output that DVC shows as metrics
    tags: frozenset[str] = field(default_factory=frozenset)

    @property
    def record(self) -> str:
        """The file, below the root, that says what the artifact was made from."""
        return f"{self.folder}/{self.name}.record.json"

    def missing(self, root: Path) -> str | None:
        """The first of its outputs that is not there, below the project's root."""
        paths = (f"{self.folder}/{name}" for name in self.outputs)
        return next((path for path in paths if not (root / path).exists()), None)

    @property
    def on_request(self) -> bool:
        return ON_REQUEST in self.tags

    @property
    def code(self) -> tuple[str, ...]:
        """The definitions below orchestration that its function reaches by way of its pipeline's own."""
        return _code_of(f"{self.function.__module__}:{self.function.__name__}")

    def roots(self, *methods: str) -> tuple[str, ...]:
        """The definitions to follow: its code, and the methods' classes where it runs them."""
        return (*self.code, *map(class_root, methods)) if RUNS_METHODS in self.tags else self.code

    @property
    def check(self) -> Callable[..., object]:
        """What `checked_by` says; a function that refuses nothing where it says nothing."""
        return getattr(self.function, CHECK, lambda parameters, tracker: None)


@cache
def _code_of(root: str) -> tuple[str, ...]:
    found = frontier_of(root, through=NODES, without=PLUMBING, but=JUDGING)
    return tuple(one for one in found if one.split(":")[-1] not in (*CUT["*"], *OF_THE_RUN))


class Stages(Mapping[str, Stage]):
    """Name -> stage, in the order in which they run; then the tools."""

    def __init__(self, pipelines: Iterable[Pipeline], catalog: Mapping[str, Mapping[str, Any]] | None):
        self._pipeline = Pipeline(list({node.name: node for one in pipelines for node in one.nodes}.values()))
        found = [_stage(node, catalog) for node in self._pipeline.nodes]
        self._stages = {one.name: one for one in sorted(found, key=lambda one: not one.artifact)}  # sorted keeps their order

    def __getitem__(self, name: str) -> Stage:
        return self._stages[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    @property
    def road(self) -> list[Stage]:
        """Those of `__default__` and of `dvc repro`."""
        return [one for one in self._stages.values() if one.artifact and not one.on_request]

    @property
    def making(self) -> list[Stage]:
        """All that write an artifact."""
        return [one for one in self._stages.values() if one.artifact]

    @property
    def tools(self) -> list[Stage]:
        return [one for one in self._stages.values() if not one.artifact]

    def that_makes(self, artifact: str) -> Stage:
        return next(one for one in self.making if one.artifact == artifact)

    def before(self, name: str) -> list[Stage]:
        """What `name` stands on, itself last, in the order in which they run."""
        return [self._stages[node.name] for node in self._pipeline.to_nodes(name).nodes]

    @cached_property
    def blocks(self) -> dict[str, type[Config]]:
        """The parameter blocks that any of them reads, with their types; `run` has keys of its own (`RUN_KEYS`)."""
        found: dict[str, type[Config]] = {}
        for one in self._stages.values():
            hints = get_type_hints(one.function)
            found |= {name: hints[name] for name in hints if name != "return" and _is_block(name, hints[name])}
        return found


def _is_block(name: str, hint: Any) -> bool:
    return name != "seed" and _entry(name, hint).startswith(PARAMETERS)


def _stage(node: Node, catalog: Mapping[str, Mapping[str, Any]] | None) -> Stage:
    artifact = next(iter(node.outputs), "")
    entry = (catalog or {}).get(artifact, {})
    if artifact and catalog is not None and "filepath" not in entry:
        raise LookupError(f"{CATALOG} has no entry {artifact!r}, which the stage {node.name!r} writes")
    hints = get_type_hints(node.func)
    names = inspect.signature(node.func).parameters
    read = [name for name in names if name == RUN or (_entry(name, hints[name]).startswith(PARAMETERS) and name != RUNTIME)]
    return Stage(
        node.name,
        artifact,
        str(PurePosixPath(entry.get("filepath", "")).parent) if artifact else "",
        tuple(name for name in names if hints[name] is Artifact),
        tuple(read),
        node.func,
        tuple(entry.get("outputs", ())),
        bool(entry.get("resumes", False)),
        tuple(entry.get("unstable", ())),
        str(entry.get("metrics", "")),
        frozenset(node.tags),
    )


def project_stages() -> Stages:
    """Those of this project, as its pipelines and conf/base/catalog.yml state them."""
    from kedro.framework import project

    if project.PACKAGE_NAME is None:  # a program of ours that `kedro` has not started
        project.configure_project(PACKAGE)
    return _read(project_root())


@cache
def _read(root: Path) -> Stages:
    from kedro.framework.project import pipelines

    file = next((file for file in (root / CATALOG, ROOT.parents[1] / CATALOG) if file.is_file()), root / CATALOG)
    catalog = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    return Stages(dict(pipelines).values(), catalog)
