"""What the pages say of a method: gathered from the registry, its module's docstring, its Config and the leaderboard's rows."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from docs_build.blocks import options_table
from docs_build.markup import cell, plain, table
from ssl_pipelines.artifacts.options import inner_blocks, name_of, written
from ssl_pipelines.methods.base import Method
from ssl_pipelines.methods.config import MethodConfig
from ssl_pipelines.methods.registry import TABLE, method_class, module_of
from ssl_pipelines.views.plan import Backgrounds, ViewGroup, ViewPlan, ViewRecipe

ROOT = Path(__file__).resolve().parents[1]
EQUATIONS = Path(__file__).with_name("equations.yml")
BUDGETS = ("cpu", "gpu")
FAMILIES = {  # in the order of the pages, as people came to them
    "pretext": "Pretext tasks",
    "contrastive": "Contrastive",
    "clustering": "Clustering",
    "distillation": "Distillation",
    "generative": "Generative",
    "masked": "Masked images",
}


@dataclass(frozen=True, slots=True)
class Words:
    """A module's docstring in its parts: title, one sentence, what follows, and what differs from the paper."""

    title: str
    idea: str
    more: str
    differs: str


def of_family(family: str) -> list[str]:
    """Names in the order of the years of their papers, then by name."""
    names = [name for name, entry in TABLE.items() if entry.family == family]
    return sorted(names, key=lambda name: (year(TABLE[name].paper), name))


def year(paper: str) -> int:
    return int(re.findall(r"\b(?:19|20)\d\d\b", paper)[0])


@cache
def words(name: str) -> Words:
    spec = find_spec(module_of(name))
    assert spec is not None
    assert spec.origin is not None
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    text, _, differs = docstring.partition("Differs:")
    first, _, more = text.partition("\n\n")
    title, _, idea = " ".join(first.split()).partition(":")
    author = re.escape(re.split(r"[\s,]", TABLE[name].paper)[0])
    more = re.sub(rf"\A\s*{author}\b[^\n]*(?:\n\s*\n|\Z)", "", more)  # the paper, where it has a paragraph of its own
    said = re.split(rf"(?<=[.?!])\s+(?={author}\b)", idea.strip())[0]  # the paper ends the sentence's paragraph
    return Words(title.strip(), capital(said), more.strip(), capital(differs.strip()))


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@cache
def equations() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(EQUATIONS.read_text(encoding="utf-8"))
    return found


def rows(name: str) -> list[dict[str, Any]]:
    """The leaderboard's rows of the method, a budget each, where they have been made."""
    files = [ROOT / "docs" / "leaderboard" / budget / f"{name}.json" for budget in BUDGETS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in files if path.is_file()]


def paper(name: str) -> str:
    return plain(TABLE[name].paper)


def needs(name: str) -> list[str]:
    """In words, and what the class itself declares."""
    cls = method_class(name)
    found = [TABLE[name].needs]
    if cls.compares_within_batch:
        found.append("whole batches: gradient accumulation is refused")
    if cls.judged_at == "best":
        found.append("a choice of its eval layer, on validation, for the random encoder too")
    return found


def section(name: str) -> str:
    """The method's part of its family's page."""
    told, formula = words(name), equations()[name]
    parts = [
        f"## {plain(told.title)} {{ #{name} }}",
        f"**{plain(told.idea)}** {paper(name)}. `--params method={name}`",
        "\n\n".join(f"```math\n{line}\n```" for line in formula["formulas"]),
        str(formula["where"]).strip(),
        plain(told.more),
        "**Needs:** " + "; ".join(plain(need) for need in needs(name)) + ".",
        _result(name),
        f'??? note "Differs from the paper"\n\n{_indented(plain(told.differs))}' if told.differs else "",
        f'??? abstract "Defaults"\n\n{_indented(defaults(name))}',
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _result(name: str) -> str:
    return "\n\n".join(_told(row) for row in rows(name) if row["linear_top1"] is not None)


def _told(row: dict[str, Any]) -> str:
    top1, random, gain, low, high, knn = (
        100 * row[key] for key in ("linear_top1", "random_init_top1", "gain", "gain_low", "gain_high", "knn_top1")
    )
    budget = (
        f"{row['dataset']}, {row['budget']} budget, {row['images_seen']:,} images drawn, `{row['encoder']}`, seed {row['seed']}"
    )
    return (
        f"**Result** ({budget}): linear probe {top1:.1f} %, random init {random:.1f} %, gain {gain:+.1f} [{low:+.1f}, {high:+.1f}], "
        f"kNN {knn:.1f} %; [all rows](../leaderboard.md)."
    )


def defaults(name: str) -> str:
    """The method's own block, its views, and what it asks of the run."""
    cls = method_class(name)
    tables = {f"methods.{name}": options_table(cls.Config, without=("views",))}
    tables |= {key: options_table(block) for key, block in _own_blocks(cls.Config, f"methods.{name}")}
    parts = [f"`{key}`\n\n{found}" for key, found in tables.items() if found]
    return "\n\n".join([*parts, _views(cls), _recipe(cls)])


def _own_blocks(config: type[MethodConfig], key: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """The blocks within a method's own that no other page lists: those of views are on the page of parameters."""
    for inner_key, block in inner_blocks(config, key):
        if not issubclass(block, ViewPlan | ViewGroup | ViewRecipe | Backgrounds):
            name = name_of(block)
            yield (f"{inner_key}={{name: {name}, ...}}" if name else inner_key), block


def _views(cls: type[Method]) -> str:
    plan = cls.Config.model_fields["views"].default
    told = [
        (f"`{name}`", str(group.count), "the run's" if group.size is None else f"{group.size} px", cell(_group(group)))
        for name, group in plan.groups.items()
    ]
    return "`views`\n\n" + table(("group", "views", "size", "recipe"), told)


def _group(group: ViewGroup) -> str:
    if group.same_as:
        return f"the views of `{group.same_as}` again"
    plain_recipe = ViewRecipe()
    changed = {key: value for key, value in group.recipe if value != getattr(plain_recipe, key)}
    told = ", ".join(f"`{key}={written(value)}`" for key, value in changed.items())
    swapped = f"on the background of `{group.swap_of}`; " if group.swap_of else ""
    return swapped + (told or "a crop of 8 to 100 % of the area, flipped half of the time")


def _recipe(cls: type[Method]) -> str:
    recipe = cls.recipe
    optimizer = ", ".join(f"{key}={written(value)}" for key, value in recipe.optimizer if value != _plain(recipe.optimizer, key))
    backbone = ", ".join(f"{key}={written(value)}" for key, value in recipe.backbone if value != _plain(recipe.backbone, key))
    given = [("`backbone`", f"`{backbone}`"), ("`pretrain.optimizer`", f"`{optimizer}`"), ("batch", f"{recipe.batch_size} images")]
    return "what it asks of the run where you say nothing\n\n" + table(("key", "default"), given)


def _plain(config: Any, key: str) -> Any:
    """A default that needs no mention; the name and the learning rate always have it."""
    return object() if key in ("name", "lr", "weight_decay") else type(config).model_fields[key].default


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
