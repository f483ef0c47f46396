"""A module's top-level definitions as text that says what they do alone: without docstrings, comments, imports and module paths.

What a definition names of this package stands in the text as a numbered mark, and is listed beside it: `code.py` follows the list."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

PACKAGE = "ssl_pipelines"
Address = tuple[str, str | None]  # (module, name of a definition); None: the module itself
# "ssl_pipelines.losses.nt_xent.nt_xent.x" -> ((module, "nt_xent"), parts that are left); None: nothing of this package
Resolve = Callable[[str], tuple[Address, list[str]] | None]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SILENT = ("ctx", "type_comment", "kind", "type_ignores")  # fields that say nothing of what runs


@dataclass(frozen=True, slots=True)
class Definition:
    text: str
    names: tuple[Address, ...]  # in the order of their first mention


@dataclass(frozen=True, slots=True)
class Bindings:
    """What a module binds at its top: `statements` by name, `imports` local name -> dotted path; `effects` bind no name but run on import."""

    statements: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


def bindings_of(text: str, module: str, *, is_package: bool) -> Bindings:
    found = Bindings()
    for statement in ast.parse(text).body:
        _bind(statement, found, module, is_package)
    return found


def define(statements: Iterable[ast.stmt], module: str, bindings: Bindings, resolve: Resolve, *, is_package: bool) -> Definition:
    writer = _Writer(module, bindings, resolve, is_package)
    text = ";".join(writer.write(statement) for statement in statements)
    return Definition(text, tuple(writer.marks))


def imports_in(node: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[str, str]]:
    """(local name, dotted path) of an import statement; nothing for another node."""
    if isinstance(node, ast.Import):
        for name in node.names:
            yield (name.asname, name.name) if name.asname else (name.name.split(".")[0],) * 2
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = module.split(".")
            parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
            base = ".".join([*parts, *filter(None, [node.module])])
        for name in node.names:
            yield name.asname or name.name, f"{base}.{name.name}"


def _bind(statement: ast.stmt, found: Bindings, module: str, is_package: bool) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        found.imports.update(imports_in(statement, module, is_package=is_package))
    elif isinstance(statement, ast.If) and _name_of(statement.test) == "TYPE_CHECKING":
        for inner in statement.body:
            _bind(inner, found, module, is_package)
    elif _says_nothing(statement):
        pass
    else:
        local: dict[str, str] = {}
        names = _bound([statement], local, module, is_package)
        found.imports.update(local)
        for name in names:
            found.statements.setdefault(name, []).append(statement)
        simple = isinstance(
            statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.AnnAssign | ast.Assign | ast.AugAssign
        )
        if not simple or not names:
            found.effects.append(statement)


def _says_nothing(node: ast.AST) -> bool:
    """`pass`, and a bare constant: a docstring, also an attribute's."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _name_of(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None


def _bound(body: Iterable[ast.AST], imports: dict[str, str], module: str, is_package: bool) -> set[str]:
    """The names that these nodes bind in their own scope; what they import goes into `imports` instead."""
    names: set[str] = set()
    foreign: set[str] = set()
    todo: list[tuple[ast.AST, bool]] = [(node, False) for node in body]  # True: within a comprehension, where only := binds outside
    while todo:
        node, inner = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(imports_in(node, module, is_package=is_package))
        elif isinstance(node, ast.Global):
            foreign.update(node.names)
        elif isinstance(node, ast.NamedExpr):
            names.add(node.target.id)
        elif isinstance(node, ast.Name) and not inner and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            names.add(node.rest)
        inner = inner or isinstance(node, COMPREHENSIONS)
        todo += [(child, inner) for child in ast.iter_child_nodes(node)]
    return names - foreign - imports.keys()


class _Writer:
    """Writes nodes as text. A name that a function binds is its own; another one may be this module's or another's definition."""

    def __init__(self, module: str, bindings: Bindings, resolve: Resolve, is_package: bool):
        self.module, self.bindings, self.resolve, self.is_package = module, bindings, resolve, is_package
        self.marks: dict[Address, int] = {}
        self.scopes: list[tuple[set[str], dict[str, str]]] = []  # of functions: names bound, names imported

    def write(self, node: object) -> str:
        if isinstance(node, list):
            return f"[{','.join(filter(None, map(self.write, node)))}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Import | ast.ImportFrom) or _says_nothing(node):
            return ""  # imports are followed where their names are used
        if isinstance(node, ast.Name | ast.Attribute):
            return self._reference(node)
        if isinstance(node, FUNCTIONS):
            return self._function(node)
        if isinstance(node, COMPREHENSIONS):
            return self._comprehension(node)
        return self._fields(node)

    def _fields(self, node: ast.AST, without: tuple[str, ...] = ()) -> str:
        values = ((name, value) for name, value in ast.iter_fields(node) if name not in SILENT and name not in without)
        return (
            f"{type(node).__name__}({','.join(f'{name}={self.write(value)}' for name, value in values if value not in (None, []))})"
        )

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> str:
        head = self._fields(node, ("body",))  # decorators, defaults and annotations are of the scope around
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *filter(None, (arguments.vararg, arguments.kwarg))]
        return head + self._inside(node.body if isinstance(node.body, list) else [node.body], {one.arg for one in every})

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> str:
        first = self.write(node.generators[0].iter)  # is of the scope around
        targets = {name.id for one in node.generators for name in ast.walk(one.target) if isinstance(name, ast.Name)}
        self.scopes.append((targets, {}))
        text = f"{first}{self._fields(node)}"
        self.scopes.pop()
        return text

    def _inside(self, body: list[ast.stmt] | list[ast.expr], arguments: set[str]) -> str:
        imports: dict[str, str] = {}
        bound = _bound(body, imports, self.module, self.is_package)
        self.scopes.append((bound | arguments, imports))
        text = self.write(list(body))
        self.scopes.pop()
        return text

    def _reference(self, node: ast.Name | ast.Attribute) -> str:
        parts: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            parts.insert(0, base.attr)
            base = base.value
        if not isinstance(base, ast.Name):
            return ".".join([self.write(base), *parts])
        dotted = self._dotted(base)
        if dotted is None:
            return ".".join([base.id, *parts])
        found = self.resolve(".".join([dotted, *parts]))
        if found is None:
            return ".".join(["<", dotted, *parts])  # of another package: its path is what it means
        address, rest = found
        mark = self.marks.setdefault(address, len(self.marks))
        return ".".join([f"<{address[1] or 'module'}#{mark}", *rest])

    def _dotted(self, name: ast.Name) -> str | None:
        """The path of what `name` stands for outside the functions around it; None for one of their own, or a builtin."""
        for bound, imports in reversed(self.scopes):
            if name.id in imports:
                return imports[name.id]
            if name.id in bound:
                return None
        if name.id in self.bindings.statements:
            at_top = not self.scopes and not isinstance(name.ctx, ast.Load)
            return None if at_top else f"{self.module}.{name.id}"
        return self.bindings.imports.get(name.id)
