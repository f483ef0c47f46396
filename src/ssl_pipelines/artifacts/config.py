"""The base of every configuration: frozen, typed, nothing unknown; and its errors in one line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from ssl_pipelines.artifacts.errors import InputError, unknown


def _several(value: Any) -> Any:
    return value if value is None or isinstance(value, list | tuple | set | frozenset | dict) else (value,)


# In Annotated[tuple[T, ...], ONE_OR_SEVERAL]: one value may stand without brackets.
ONE_OR_SEVERAL = BeforeValidator(_several)


def in_home(path: str) -> str:
    """`~/x` -> `x` in the home folder, `~name/x` in that user's; any other text stays as it is."""
    return os.path.expanduser(path)  # noqa: PTH111, pathlib raises for an unknown user, whose name may be a folder's


# A path, or a reference that may be one; shells expand `~` only at the beginning of a word, not within `key=~/x`.
UserPath = Annotated[str, AfterValidator(in_home)]


class Config(BaseModel):
    """Frozen, refuses unknown keys and values out of range. `Config.of(mapping, "pretrain")` speaks in the user's key names."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @classmethod
    def of(cls, values: Mapping[str, Any] | None, key: str) -> Self:
        """Builds the config found under parameter `key`. Raises InputError, one line, for the first value that is refused."""
        if values is not None and not isinstance(values, Mapping):
            raise InputError(f"{key}={values!r}: a block of keys is expected. Allowed keys: {', '.join(cls.model_fields)}")
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            raise _one_line(cls, error, key) from None


def _one_line(model: type[BaseModel], error: ValidationError, key: str) -> InputError:
    problems = error.errors(include_url=False)
    first = problems[0]
    where, kinds = _walk(model, first["loc"])
    if first["type"] == "extra_forbidden":
        fields = next((list(kind.model_fields) for kind in kinds if _is_model(kind)), [])
        return unknown_key(".".join(filter(None, [key, *where, str(first["loc"][-1])])), fields)
    name = ".".join(filter(None, [key, *where]))
    if first["type"] == "missing":
        return InputError(f"{name} is missing and has no default")
    same = [_said(problem) for problem in problems if _walk(model, problem["loc"])[0] == where]  # a union has one a member
    allowed = " or ".join(message.removeprefix("Value error, ").removeprefix("Input should be ") for message in same)
    if isinstance(first["input"], Mapping) and first["type"] == "value_error":  # keys that do not fit together
        return InputError(f"{name}: {allowed}")
    verb = "allowed is " if same[0].startswith("Input should be ") else ""
    return InputError(f"{name}={first['input']!r} is refused: {verb}{allowed}")


def _said(problem: Mapping[str, Any]) -> str:
    """pydantic's own words for a block name classes."""
    return "Input should be a block of keys" if problem["type"] in ("model_type", "dict_type") else str(problem["msg"])


def unknown_key(name: str, allowed: list[str]) -> InputError:
    parent, _, leaf = name.rpartition(".")
    place = f"key {leaf!r} of {parent}" if parent else "parameter"
    error = unknown(place, leaf, allowed)
    return InputError(str(error).replace(f"{place}={leaf!r}", f"{name}: {place}" if parent else f"parameter {leaf!r}"))


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[Any]]:
    """The keys as the user wrote them along a pydantic location, which names members of unions too; and the types at its end."""
    names, kinds = [], [model]
    for part in location:
        inner = next((found for kind in kinds if (found := _below(kind, part))), None)
        if inner is not None:
            names.append(str(part))
            kinds = inner
        else:  # the member of a union that the user named
            kinds = [kind for kind in kinds if _is_model(kind) and _name(kind) == part] or kinds
    return names, kinds


def _below(kind: Any, part: int | str) -> list[Any]:
    """The types that may stand at `part` of a value of type `kind`; none where `part` is no key of it."""
    if _is_model(kind):
        return _members(kind.model_fields[part].annotation) if part in kind.model_fields else []
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (dict, Mapping):
        return _members(arguments[1])
    return _members(arguments[0]) if origin in (list, tuple, Sequence) and isinstance(part, int) else []


def _name(kind: type[BaseModel]) -> Any:
    return kind.model_fields["name"].default if "name" in kind.model_fields else None


def _members(annotation: Any) -> list[Any]:
    return list(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
