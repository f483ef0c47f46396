"""The keys of a configuration block, with default, range and what the code says of each: the docstring below it, or the comment beside it."""

from __future__ import annotations

import ast
import inspect
import io
import itertools
import textwrap
import tokenize
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

BOUNDS = ((Gt, "gt", "above {}"), (Ge, "ge", "from {}"), (Lt, "lt", "below {}"), (Le, "le", "to {}"))


@dataclass(frozen=True, slots=True)
class Option:
    key: str
    default: str
    allowed: str
    meaning: str


def options(model: type[BaseModel], *, without: tuple[str, ...] = ()) -> list[Option]:
    """In the order in which the code declares them, those of the bases first."""
    return [
        Option(key, _written(field), _allowed(field), meanings(model).get(key, ""))
        for key, field in model.model_fields.items()
        if key not in without
    ]


@cache
def meanings(model: type[BaseModel]) -> dict[str, str]:
    """key -> the docstring below it, or the comment on its line; a class's own before its bases'."""
    found: dict[str, str] = {}
    for cls in model.__mro__:
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found = _found_in(cls) | found
    return found


@cache
def _found_in(cls: type) -> dict[str, str]:
    return _comments(cls) | _docstrings(cls)


def _docstrings(cls: type) -> dict[str, str]:
    """The strings that stand right below a field."""
    [body] = [node.body for node in ast.parse(textwrap.dedent(inspect.getsource(cls))).body if isinstance(node, ast.ClassDef)]
    found = {}
    for field, below in itertools.pairwise(body):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            found[field.target.id] = " ".join(text.split())
    return found


def _comments(cls: type) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(cls))
    said = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith("# type:")
    }
    body = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)).body
    fields = [node for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    lines = {node.target.id: range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in fields}  # type: ignore[union-attr]
    return {key: " ".join(said[line] for line in rows if line in said) for key, rows in lines.items()}


def _written(field: FieldInfo) -> str:
    """The default as it stands in a parameters file."""
    value = field.get_default(call_default_factory=True)
    return "needed" if value is PydanticUndefined else written(value)


def written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(one) for one in value)}]"
    if isinstance(value, BaseModel):
        name = getattr(value, "name", None)
        return str(name) if name else "its defaults"
    return str(value)


def _allowed(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(choices)
    return _bounds(field.metadata)


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
        return [
            choice for one in members for choice in (["null"] if one is type(None) and _has_literal(members) else _choices(one))
        ]
    if origin is Annotated:  # a number with bounds of its own, beside words
        return [_bounds(one.metadata) for one in get_args(annotation) if isinstance(one, FieldInfo)]
    return ["true", "false"] if annotation is bool else []


def _has_literal(members: tuple[Any, ...]) -> bool:
    return any(get_origin(one) is Literal for one in members)
