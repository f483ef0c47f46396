"""The options of a configuration block: key, default, what is allowed, and the sentence that stands below the field in the code.

Help, pages and errors read the sentences here, on demand: pydantic's `use_attribute_docstrings` would parse the source of every block at
each start of a command, which takes a third of a second for all methods."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

BOUNDS = ((Gt, "gt", "above {}"), (Ge, "ge", "from {}"), (Lt, "lt", "below {}"), (Le, "le", "to {}"))
KINDS = {int: "a whole number", float: "a number", bool: "true, false"}
SMALL = 3  # options of a block that is written out as a default
NAMED = "<name>"  # stands for the key of a mapping that the user names


@dataclass(frozen=True, slots=True)
class Option:
    """One key of a block, as help and pages show it."""

    key: str
    default: str
    allowed: str
    meaning: str


def options(model: type[BaseModel], *, without: tuple[str, ...] = (), given: object = None) -> list[Option]:
    """The options of a block in the order in which the code declares them, those of the bases first. A mark is none: it has one value.

    `given`: a block whose values stand as the defaults where it is one of this model."""
    return [
        Option(
            key,
            written(getattr(given, key)) if isinstance(given, model) else _default(field),
            _allowed(field),
            sentences(model).get(key, ""),
        )
        for key, field in model.model_fields.items()
        if key not in without and not _is_mark(field)
    ]


@cache
def sentences(model: type[BaseModel]) -> Mapping[str, str]:
    """key -> the docstring below the field; a class's own before its bases'."""
    found: dict[str, str] = {}
    for cls in model.__mro__:
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found = dict(_docstrings(cls)) | found
    return found


@cache
def _docstrings(cls: type) -> Mapping[str, str]:
    """key -> the string that stands right below the field in the body of this class."""
    [body] = [node.body for node in ast.parse(textwrap.dedent(inspect.getsource(cls))).body if isinstance(node, ast.ClassDef)]
    found = {}
    for field, below in itertools.pairwise(body):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            found[field.target.id] = " ".join(text.split())
    return found


def about(model: type[BaseModel]) -> str:
    """The first paragraph of the block's own docstring, not of its base's; empty where it has none."""
    return " ".join(inspect.cleandoc(vars(model).get("__doc__") or "").split("\n\n")[0].split())


def blocks_below(annotation: Any, key: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """(key, block) for every block that a value of this type may be, or hold: `key` itself, and `key.<name>` within a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield key, annotation
    elif get_origin(annotation) in (dict, Mapping):
        yield from blocks_below(get_args(annotation)[1], f"{key}.{NAMED}".lstrip("."))
    elif get_origin(annotation) is not Literal:
        for one in get_args(annotation):
            yield from blocks_below(one, key)


def inner_blocks(model: type[BaseModel], key: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """(key, block) for all blocks within the block `model` at `key`, each before those within it. Blocks without options are left out."""
    for name, field in model.model_fields.items():
        for inner_key, inner in blocks_below(field.annotation, f"{key}.{name}"):
            if options(inner):
                yield inner_key, inner
            yield from inner_blocks(inner, inner_key)


def name_of(model: type[BaseModel]) -> str | None:
    """The `name` by which the user chooses this block among several, such as `clip` among losses; None for a block that stands alone."""
    field = model.model_fields.get("name")
    return str(field.default) if field is not None and _is_mark(field) else None


def _is_mark(field: FieldInfo) -> bool:
    """Whether the field has one possible value, which tells the block's kind."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _default(field: FieldInfo) -> str:
    """The default as it stands in a parameters file."""
    value = field.get_default(call_default_factory=True)
    return "needed" if value is PydanticUndefined else written(value)


def written(value: Any) -> str:
    """A value as it stands in a parameters file; a large block by its name, or by a remark."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {written(one)}' for key, one in value.items())}}}"
    if isinstance(value, BaseModel):
        name = getattr(value, "name", None)
        return str(name) if name else written(dict(value)) if len(type(value).model_fields) <= SMALL else "its defaults"
    return str(value)


def _allowed(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(choices)
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return "a block of keys"
    if get_origin(field.annotation) is dict:
        return "names, each with " + ("a block of keys" if any(blocks_below(field.annotation)) else "a value")
    if get_origin(field.annotation) is tuple:
        return _several(get_args(field.annotation))
    return _bounds(field.metadata)


def _several(kinds: tuple[Any, ...]) -> str:
    """What a list may hold: as many numbers as there are kinds, or any number of the first."""
    if kinds[-1] is not Ellipsis:
        return f"{len(kinds)} numbers"
    each = ", ".join(_beside_words(kinds[0]))
    return f"a list, each {each}" if each else "a list"


def _bounds(metadata: list[Any]) -> str:
    return " ".join(
        text.format(written(getattr(one, name))) for kind, name, text in BOUNDS for one in metadata if isinstance(one, kind)
    )


def _choices(annotation: Any) -> list[str]:
    """Of a Literal, also where null or a number may stand in its place; of a union of blocks, their names; of a switch, both."""
    origin = get_origin(annotation)
    if origin is Literal:
        return [written(value) for value in get_args(annotation)]
    if origin in (Union, UnionType):
        members = get_args(annotation)
        if all(isinstance(one, type) and issubclass(one, BaseModel) for one in members):
            return [str(one.model_fields["name"].default) for one in members]
        worded = any(get_origin(one) is Literal for one in members)
        return [choice for one in members for choice in (_beside_words(one) if worded else _choices(one))]
    if origin is Annotated:  # a number with bounds of its own, beside words
        return [found for one in get_args(annotation) if isinstance(one, FieldInfo) and (found := _bounds(one.metadata))]
    return [KINDS[bool]] if annotation is bool else []


def _beside_words(annotation: Any) -> list[str]:
    """What may stand in the place of one of several words."""
    if annotation is type(None):
        return ["null"]
    return [KINDS[annotation]] if annotation in (int, float) else _choices(annotation)
