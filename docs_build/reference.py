"""The reference: a page a public module, grouped by layer. What stands on the pages are the docstrings (mkdocstrings)."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from docs_build.markup import cell, plain, table

SOURCE = Path(__file__).resolve().parents[1] / "src" / "ssl_pipelines"


def _layers() -> list[str]:
    """Top to bottom, as the import contract has them; "a | b" are beside each other."""
    contracts = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers: list[str] = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return layers


LEVELS = _layers()
LAYERS = [name for level in LEVELS for name in level.split(" | ")]


@dataclass(frozen=True, slots=True)
class Module:
    name: str  # dotted, below ssl_pipelines
    told: str  # the first sentence of its docstring

    @property
    def page(self) -> str:
        return f"reference/{self.name.replace('.', '/')}.md"

    @property
    def body(self) -> str:
        return f"# {self.name}\n\n::: ssl_pipelines.{self.name}\n"


@cache
def modules(layer: str) -> list[Module]:
    """With something to say: a package that only gathers names is told by its modules."""
    found, folder = [], SOURCE / layer
    # Its own modules come before those of its packages.
    for path in sorted(folder.rglob("*.py"), key=lambda path: (path.parent != folder, path)):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1].startswith("_"):
            continue
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found.append(Module(".".join(parts), " ".join(docstring.split("\n\n")[0].split())))
    return found


def told(layer: str) -> str:
    docstring = ast.get_docstring(ast.parse((SOURCE / layer / "__init__.py").read_text(encoding="utf-8"))) or ""
    return plain(docstring)


def layer_page(layer: str) -> str:
    rows = []
    for module in modules(layer):
        page = Path(module.page).relative_to(f"reference/{layer}")
        rows.append((f"[{module.name.removeprefix(layer + '.')}]({page})", cell(plain(module.told))))
    return f"# {layer}\n\n{told(layer)}\n\n{table(('module', 'what it is'), rows)}\n"


def index_page() -> str:
    rows = [(f"[{layer}]({layer}/index.md)", cell(told(layer).split("\n\n")[0])) for layer in LAYERS]
    words = (
        "Every public module, from its docstrings. Layers stand top to bottom: a lower one never imports a higher one, and everything below "
        "orchestration works without Kedro, MLflow, DVC and Great Expectations."
    )
    return f"# Reference\n\n{words}\n\n{table(('layer', 'what it is'), rows)}\n"


def navigation() -> str:
    """For mkdocs-literate-nav: SUMMARY.md of the reference."""
    lines = ["* [Overview](index.md)"]
    for layer in LAYERS:
        lines += [f"* {layer}", f"    * [{layer}]({layer}/index.md)"]
        above: tuple[str, ...] = ()
        for module in modules(layer):
            *packages, name = module.name.split(".")[1:]
            if packages and tuple(packages) != above:
                lines.append(f"    * {'.'.join(packages)}")
            above = tuple(packages)
            lines.append(f"{'        ' if packages else '    '}* [{name}]({Path(module.page).relative_to('reference')})")
    return "\n".join(lines) + "\n"
