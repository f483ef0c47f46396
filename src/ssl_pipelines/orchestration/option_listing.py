"""The options below one key of the parameters, with default, range and sentence: what `kedro parameters` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.artifacts.config import unknown_key
from ssl_pipelines.artifacts.options import NAMED, Option, about, blocks_below, name_of, options, sentences
from ssl_pipelines.methods.registry import TABLE, method_class
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.orchestration.stages import RUN_KEYS, project_stages
from ssl_pipelines.training.config import PretrainConfig, RunConfig


def root_blocks() -> dict[str, type[BaseModel]]:
    """Key -> the block that stands there in parameters.yml, but for the methods' own."""
    return {"backbone": BackboneConfig, "pretrain": PretrainConfig, **project_stages().blocks}


def listed(key: str | None) -> list[Option]:
    """The options of the block at `key`, such as finetune.optimizer or methods.simclr; of a single option itself; None: the blocks.

    Raises InputError, one line, for a key that is not there."""
    if key is None:
        return _top()
    first, *rest = key.split(".")
    if first in ("method", "seed"):
        if rest:
            raise _single(key, first)
        return [one for one in _top() if one.key == first]
    place = _root(first, rest)
    alone: list[Option] = []
    for part in rest if first != "methods" else rest[1:]:
        alone = place.options(part)
        place = place.below(part)
    return place.options() or alone


@dataclass(frozen=True, slots=True)
class _Place:
    """Somewhere in the tree of parameters: the types that may stand there, and what stands there by default, where that is known."""

    path: str
    kinds: list[Any]
    value: Any

    def options(self, only: str | None = None) -> list[Option]:
        """Of the blocks that may stand here; where there are several, each says by which name. `only`: of one key."""
        found, blocks = [], [block for kind in self.kinds for _, block in _blocks_at(kind)]
        for block in dict.fromkeys(blocks):
            name = name_of(block) if len(blocks) > 1 else None
            for one in options(block, given=self.value):
                if only in (None, one.key):
                    found.append(replace(one, meaning=f"With name={name}: {one.meaning}") if name else one)
        return found

    def below(self, part: str) -> _Place:
        path, kinds = f"{self.path}.{part}", [found for kind in self.kinds for found in _below(kind, part)]
        named = isinstance(self.value, Mapping) and self.value  # a mapping whose names are fixed: groups of views
        if not kinds or (named and part not in self.value):
            allowed = list(self.value) if named else [one.key for one in self.options()]
            raise unknown_key(path, allowed) if allowed else _single(path, self.path)
        inner = self.value.get(part) if isinstance(self.value, Mapping) else getattr(self.value, part, None)
        return _Place(path, kinds, inner)


def _single(key: str, value: str) -> InputError:
    return InputError(f"{key}: {value} is a single value, there are no keys below it")


def _root(first: str, rest: list[str]) -> _Place:
    if first == "methods":
        if not rest:
            raise InputError(f"methods: the block of a method is expected, such as methods.simclr. Allowed: {', '.join(TABLE)}")
        config = method_class(rest[0]).Config
        return _Place(f"methods.{rest[0]}", [config], config.of(None, f"methods.{rest[0]}"))
    if first not in root_blocks():
        raise unknown_key(first, [*RUN_KEYS, *project_stages().blocks])
    model = root_blocks()[first]
    return _Place(first, [model], None if model is PretrainConfig else model())  # a pretraining needs a budget


def _top() -> list[Option]:
    told = sentences(RunConfig)
    methods = f"Options of one method, {NAMED} its name; kedro parameters methods.simclr lists SimCLR's."
    rows = [
        Option("method", "simclr", "a name that kedro methods lists", told["method"]),
        Option(f"methods.{NAMED}", "", "a block of keys", methods),
        Option("seed", "0", "from 0", told["seed"]),
    ]
    return rows + [Option(name, "", "a block of keys", about(model)) for name, model in root_blocks().items()]


def _blocks_at(kind: Any) -> list[tuple[str, type[BaseModel]]]:
    """Without those within a mapping, whose name is not given yet."""
    return [(key, block) for key, block in blocks_below(kind) if not key]


def _below(kind: Any, part: str) -> Iterator[Any]:
    """The types that may stand at `part` of a value of type `kind`; none where `part` is no key of it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if part in kind.model_fields:
            yield kind.model_fields[part].annotation
    elif get_origin(kind) in (dict, Mapping):
        yield get_args(kind)[1]
    else:
        for one in get_args(kind):
            yield from _below(one, part)
