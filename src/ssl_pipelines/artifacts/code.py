"""Digests of the code that a room runs: its modules' import closure inside this package, with and without docstrings."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "ssl_pipelines"
ROOT = Path(__file__).resolve().parents[1]


def closure(*modules: str) -> list[str]:
    """The modules of this package that `modules` import, directly or not, themselves included; sorted."""
    seen: set[str] = set()
    todo = list(modules)
    while todo:
        module = todo.pop()
        if module in seen or _file(module) is None:
            continue
        seen.add(module)
        todo += _imports(module)
    return sorted(seen)


def code_digests(*modules: str) -> dict[str, list[str]]:
    """{path inside the package: [digest of the syntax tree without docstrings, digest of the text]} over the closure."""
    found = {}
    for module in closure(*modules):
        file = _file(module)
        assert file is not None
        found[file.relative_to(ROOT).as_posix()] = digests_of(file.read_text(encoding="utf-8"))
    return found


def digests_of(text: str) -> list[str]:
    """Of one file's text: [digest of the syntax tree without docstrings, digest of the text]."""
    return [_short(_bare(text)), _short(text)]


def changed(before: dict[str, list[str]], after: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """Files whose meaning changed, and files of which only comments or docstrings did."""
    meaning = [f for f in sorted(before.keys() | after.keys()) if before.get(f, [""])[0] != after.get(f, [""])[0]]
    words = [f for f in sorted(before.keys() & after.keys()) if f not in meaning and before[f][1] != after[f][1]]
    return meaning, words


def _file(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split(".")[1:])
    return next((f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()), None)


@cache
def _imports(module: str) -> tuple[str, ...]:
    file = _file(module)
    assert file is not None
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return tuple(name for name in found if name.split(".")[0] == PACKAGE)


def _bare(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
