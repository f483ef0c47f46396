"""The keys of every block of conf/base/parameters.yml, from the typed configurations behind them."""

from __future__ import annotations

import html
from collections.abc import Iterator

from pydantic import BaseModel

from docs_build.markup import cell, plain, table
from ssl_pipelines.artifacts.options import NAMED, about, inner_blocks, options
from ssl_pipelines.methods.config import MethodConfig
from ssl_pipelines.orchestration.option_listing import root_blocks
from ssl_pipelines.orchestration.validation.config import Rule


def blocks() -> str:
    """A section a block; one that stands in several places has its section where it stands first."""
    parts, seen = [], set[type[BaseModel]]()
    for name, model in _all():
        if model not in seen:
            seen.add(model)
            level = "###" if "." in name and name.split(".")[0] in root_blocks() else "##"
            parts.append(f"{level} {html.escape(name)}\n\n{plain(about(model))}\n\n{options_table(model)}")
    return "\n\n".join(parts)


def options_table(model: type[BaseModel], *, without: tuple[str, ...] = ()) -> str:
    rows = [
        (f"`{option.key}`", f"`{option.default}`", cell(plain(option.allowed)), cell(plain(option.meaning)))
        for option in options(model, without=without)
    ]
    return table(("key", "default", "allowed", "meaning"), rows) if rows else ""


def _all() -> Iterator[tuple[str, type[BaseModel]]]:
    """The blocks and those within them; the expectations of `validate`, alike in their keys, are told by the page itself."""
    for name, model in root_blocks().items():
        yield name, model
        yield from ((key, inner) for key, inner in inner_blocks(model, name) if not issubclass(inner, Rule))
    yield from inner_blocks(MethodConfig, f"methods.{NAMED}")
