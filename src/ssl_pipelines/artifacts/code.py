"""Which code a stage or a measured row runs, as a digest of definitions: what its roots name, what those name, and so on.

Methods of a class that is reached count as run. Renaming or moving a module, another order of imports, comments and docstrings change
nothing; a constant, a default, an operator, or a name that now stands for another definition does."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

from ssl_pipelines.artifacts.definitions import PACKAGE, Address, Bindings, Definition, bindings_of, define

ROOT = Path(__file__).resolve().parents[1]
EARLIER = "recorded by an earlier version"  # said of code that does not compare
Read = Callable[[str], str | None]  # path below the package -> text, None where there is no such file
Cut = Mapping[str, Collection[str]]  # "module:name" -> names of definitions that are not followed from there ("*": from anywhere)


@dataclass(frozen=True, slots=True)
class Code:
    """`roots` "module:name" or "module" (all of it); `definitions` "losses.nt_xent.nt_xent" -> digest of its own text."""

    roots: tuple[str, ...] = ()
    digest: str = ""
    definitions: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        return {"roots": list(self.roots), "digest": self.digest, "definitions": self.definitions}

    @property
    def compares(self) -> bool:
        """False where an earlier version wrote the record: it did not say which definitions ran, so none of them can be compared."""
        return bool(self.roots)

    @classmethod
    def of(cls, body: Any) -> Self:
        """From a record; one that an earlier version wrote counts as other code."""
        if not isinstance(body, Mapping) or not {"roots", "digest", "definitions"} <= body.keys():
            return cls()
        return cls(tuple(body["roots"]), str(body["digest"]), dict(body["definitions"]))

    def changed_in(self, other: Code) -> list[str]:
        """The definitions in which the two differ, wherever they lie; empty only where the codes are the same."""
        if self.digest == other.digest:
            return []
        ours, theirs = Counter(_by_name(self)), Counter(_by_name(other))
        apart = {name for name, _ in [*(ours - theirs), *(theirs - ours)]}
        found = {name for code in (self, other) for name in code.definitions if name.rpartition(".")[2] in apart}
        return sorted(found) or ["which definition a name stands for"]


def _by_name(code: Code) -> list[tuple[str, str]]:
    return [(name.rpartition(".")[2], own) for name, own in code.definitions.items()]


class Program:
    """The package's source as a graph of definitions. `read` gives its files, so that a commit's can be read as well."""

    def __init__(self, read: Read):
        self._read = read
        self._modules: dict[str, tuple[Bindings, bool] | None] = {}
        self._definitions: dict[Address, Definition] = {}

    def code(self, *roots: str, cut: Cut | None = None) -> Code:
        """Raises LookupError for a root that is not there."""
        starts = [self._address(root) for root in roots]
        reached = self._reach(starts, cut or {})
        own = {address: _short(f"{address[1]}={self._define(address).text}") for address in reached}
        shown = {_shown(address): text for address, text in own.items() if address[1] is not None}
        return Code(roots, _whole(starts, own, reached), dict(sorted(shown.items())))

    def modules(self, *roots: str, cut: Cut | None = None) -> list[str]:
        return sorted({module for module, _ in self._reach([self._address(root) for root in roots], cut or {})})

    def frontier(self, root: str, *, through: str, without: str, but: str) -> list[str]:
        """The definitions that `root` reaches by way of the package `through` and that lie outside of it, "module:name", sorted.

        Those in the package `without` are left out, except where they lie in `but`, a package in it."""
        found, seen, todo = set(), set(), [self._address(root)]
        while todo:
            address = todo.pop()
            if address in seen:
                continue
            seen.add(address)
            module, name = address
            if _lies_in(module, through):
                todo += self._define(address).names
            elif name != "" and (_lies_in(module, but) or not _lies_in(module, without)):
                found.add(module if name is None else f"{module}:{name}")
        return sorted(found)

    def _address(self, root: str) -> Address:
        module, _, name = root.partition(":")
        if self._bindings(module) is None:
            raise LookupError(f"{root}: there is no such module")
        if not name:
            return module, None
        found = self._resolve(f"{module}.{name}")
        if found is None or found[0][1] is None:
            raise LookupError(f"{root}: there is no such definition")
        return found[0]

    def _reach(self, starts: Iterable[Address], cut: Cut) -> dict[Address, list[Address]]:
        """Every definition that is named from `starts` on, with what it names."""
        found: dict[Address, list[Address]] = {}
        todo = list(starts)
        while todo:
            address = todo.pop()
            if address in found:
                continue
            module, name = address
            left_out = {*cut.get("*", ()), *cut.get(f"{module}:{name}", ())}
            found[address] = [one for one in self._define(address).names if one[1] is None or one[1] not in left_out]
            todo += found[address]
            todo += ((above, "") for above in _with_parents(module) if self._bindings(above) and self._module(above).effects)
        return found

    def _define(self, address: Address) -> Definition:
        """The name "" is what a module does when it is imported, None the module as a whole, which names all that it defines."""
        if address not in self._definitions:
            module, name = address
            bindings = self._module(module)
            if name is None:
                every = tuple((module, inner) for inner in sorted(bindings.statements))  # one order, whatever the module's
                self._definitions[address] = Definition("", every)
            else:
                statements = bindings.statements[name] if name else bindings.effects
                facts = (statements, module, bindings, self._resolve)
                self._definitions[address] = define(*facts, is_package=self._modules[module][1])  # type: ignore[index]
        return self._definitions[address]

    def _module(self, name: str) -> Bindings:
        found = self._bindings(name)
        assert found is not None
        return found

    def _bindings(self, module: str) -> Bindings | None:
        if module not in self._modules:
            base = "/".join(module.split(".")[1:])
            self._modules[module] = None
            for path, is_package in ((f"{base}.py", False), (f"{base}/__init__.py".lstrip("/"), True)):
                text = self._read(path) if path != ".py" else None
                if text is not None:
                    self._modules[module] = bindings_of(text, module, is_package=is_package), is_package
                    break
        found = self._modules[module]
        return None if found is None else found[0]

    def _resolve(self, dotted: str) -> tuple[Address, list[str]] | None:
        """What a path stands for, through re-exports; a name that cannot be found stands for its whole module."""
        parts = dotted.split(".")
        if parts[0] != PACKAGE:
            return None
        module, rest = parts[0], parts[1:]
        while rest:
            bindings = self._module(module)
            if rest[0] in bindings.statements:
                return (module, rest[0]), rest[1:]
            if self._bindings(f"{module}.{rest[0]}") is not None:
                module, rest = f"{module}.{rest[0]}", rest[1:]
            elif rest[0] in bindings.imports:
                return self._resolve(".".join([bindings.imports[rest[0]], *rest[1:]]))
            else:
                break
        return (module, None), rest


def _shown(address: Address) -> str:
    module, name = address
    return f"{module.removeprefix(f'{PACKAGE}.')}.{name or 'on import'}"


def _lies_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _whole(starts: list[Address], own: Mapping[Address, str], reached: Mapping[Address, list[Address]]) -> str:
    """One digest of the graph that its modules' names do not enter: every definition's is refined by those of what it names, in order,
    until no two that differ look alike (Weisfeiler & Leman's refinement; definitions may name each other in a circle)."""
    colors, count = dict(own), 0
    while len(set(colors.values())) > count:
        count = len(set(colors.values()))
        colors = {address: _short("/".join([own[address], *(colors[one] for one in names)])) for address, names in reached.items()}
    return hashlib.sha256("/".join([*(colors[start] for start in starts), "", *sorted(colors.values())]).encode()).hexdigest()


def code_of(*roots: str, cut: Cut | None = None) -> Code:
    """Of this package as it lies on disk."""
    return _program(ROOT).code(*roots, cut=cut)


@cache
def _program(root: Path) -> Program:
    return Program(lambda path: (root / path).read_text(encoding="utf-8") if (root / path).is_file() else None)


def frontier_of(root: str, *, through: str, without: str, but: str) -> tuple[str, ...]:
    """`Program.frontier` of this package as it lies on disk."""
    return tuple(_program(ROOT).frontier(root, through=through, without=without, but=but))


def modules_of(*roots: str, cut: Cut | None = None) -> list[str]:
    """The modules in which the definitions lie that `roots` reach; sorted. For tools that know files alone."""
    return _program(ROOT).modules(*roots, cut=cut)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
