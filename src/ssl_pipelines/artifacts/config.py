"""The base of every configuration: frozen, typed, nothing unknown; and its errors in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ssl_pipelines.artifacts.errors import InputError, unknown


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
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"] if not str(part).startswith("function-")]
    name = ".".join([key, *where]) if key else ".".join(where)
    if first["type"] == "extra_forbidden":
        return unknown_key(name, _fields_at(model, where[:-1]))
    if first["type"] == "missing":
        return InputError(f"{name} is missing and has no default")
    allowed = first["msg"].removeprefix("Value error, ").replace("Input should be", "allowed is")
    return InputError(f"{name}={first['input']!r} is refused: {allowed}")


def unknown_key(name: str, allowed: list[str]) -> InputError:
    parent, _, leaf = name.rpartition(".")
    place = f"key {leaf!r} of {parent}" if parent else "parameter"
    error = unknown(place, leaf, allowed)
    return InputError(str(error).replace(f"{place}={leaf!r}", f"{name}: {place}" if parent else f"parameter {leaf!r}"))


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        found = model.model_fields.get(part)
        kinds = [found.annotation, *getattr(found.annotation, "__args__", ())] if found else []
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)
