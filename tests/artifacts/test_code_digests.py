"""Digests follow what runs: its definitions, wherever they lie; not its words, and not what nothing names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ssl_pipelines.artifacts.code import ROOT, Code, Program

FILES = {
    "__init__.py": "",
    "program.py": '''"""Docstring."""

import torch.nn.functional as F
from torch import cat

from ssl_pipelines.part import helper
from ssl_pipelines.part import deep
import ssl_pipelines.color as color

RATE = 0.1


class Thing:
    """Docstring."""

    width: int = 8
    """An attribute docstring."""

    def go(self, x: int, scale=RATE) -> int:
        """Docstring."""
        return helper(x) + deep.other(x) * scale  # a comment

    def never_called(self, x):
        return color.shift(x)

    def late(self):
        from ssl_pipelines.late import LATE

        return F.relu(cat([LATE]))


def stranger():
    return far(1)
''',
    "part/__init__.py": "from ssl_pipelines.part.deep import helper\n",
    "part/deep.py": """import numpy


def helper(x, by=1):
    return x + by if x > 2 else even(x)


def other(x):
    return x


def even(x):
    return helper(x - 1)
""",
    "late.py": "LATE = 1\n",
    "color.py": "def shift(x):\n    return [x for x in x]\n\n\ndef unused():\n    return 7\n",
}


def code(files: dict[str, str], root: str = "ssl_pipelines.program:Thing", **cut) -> Code:
    return Program(files.get).code(root, **cut)


def edited(name: str, before: str, after: str, files: dict[str, str] = FILES) -> dict[str, str]:
    assert before in files[name], before
    return files | {name: files[name].replace(before, after)}


def test_what_is_reached():
    assert set(code(FILES).definitions) == {
        "program.Thing", "program.RATE", "part.deep.helper", "part.deep.other", "part.deep.even", "late.LATE", "color.shift",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("program.py", '"""Docstring."""', '"""Other words."""'),
        ("program.py", '        """Docstring."""\n', ""),
        ("program.py", '    """An attribute docstring."""\n', ""),
        ("program.py", "# a comment", "# another"),
        ("program.py", "return helper(x) +", "return (\n            helper(x)) +"),
        ("program.py", "import torch.nn.functional as F", "from torch.nn import functional as F"),
        ("program.py", "import torch.nn.functional as F\nfrom torch", "import torch.nn.functional as F\nimport os\nfrom torch"),
        ("program.py", "from ssl_pipelines.part import helper\n", "from ssl_pipelines.part.deep import helper\n"),
        ("program.py", "return far(1)", "return far(2)"),
        ("program.py", "RATE = 0.1\n", "RATE = 0.1\nUNUSED = 2\n"),
        ("color.py", "return 7", "return 8"),
        ("part/deep.py", "import numpy\n", "import numpy\nimport ssl_pipelines.color\n"),
    ],
)  # fmt: skip
def test_words_order_of_imports_and_what_nothing_names_change_nothing(name, before, after):
    assert code(edited(name, before, after)).digest == code(FILES).digest


def test_an_alias_for_a_definition_changes_nothing():
    aliased = edited("program.py", "import helper\n", "import helper as h\n")
    aliased = edited("program.py", "helper(x) +", "h(x) +", aliased)
    assert code(aliased).digest == code(FILES).digest


def test_a_module_that_is_renamed_or_moved_changes_nothing():
    moved = {name: text.replace("ssl_pipelines.part", "ssl_pipelines.elsewhere.piece") for name, text in FILES.items()}
    moved |= {"elsewhere/__init__.py": "", "elsewhere/piece/__init__.py": moved.pop("part/__init__.py")}
    moved |= {"elsewhere/piece/deep.py": moved.pop("part/deep.py")}
    assert code(moved).digest == code(FILES).digest
    assert "elsewhere.piece.deep.helper" in code(moved).definitions


def test_a_definition_that_moves_to_another_module_changes_nothing():
    moved = edited("part/deep.py", "def even(x):\n    return helper(x - 1)\n", "from ssl_pipelines.apart import even\n")
    moved |= {"apart.py": "from ssl_pipelines.part.deep import helper\n\n\ndef even(x):\n    return helper(x - 1)\n"}
    assert code(moved).digest == code(FILES).digest


@pytest.mark.parametrize(
    ("name", "before", "after", "changed"),
    [
        ("program.py", "RATE = 0.1", "RATE = 0.2", "program.RATE"),  # a constant
        ("part/deep.py", "by=1", "by=2", "part.deep.helper"),  # a default
        ("part/deep.py", "x + by", "x - by", "part.deep.helper"),  # an operator
        ("part/deep.py", "helper(x - 1)", "helper(x - 2)", "part.deep.even"),  # a helper two modules away
        ("program.py", "width: int = 8", "width: int = 9", "program.Thing"),
        ("program.py", "color.shift(x)", "color.shift(x, 1)", "program.Thing"),  # a method counts as run
        ("late.py", "LATE = 1", "LATE = 'a'", "late.LATE"),
        ("late.py", "LATE = 1", "LATE = 1\nLATE += 1", "late.LATE"),
        ("program.py", "from torch import cat", "from torch import stack as cat", "program.Thing"),  # another package's name
        ("program.py", "import torch.nn.functional as F", "import torch.special as F", "program.Thing"),
        ("late.py", "LATE = 1\n", "import torch\n\nLATE = 1\ntorch.set_default_dtype(torch.float64)\n", "late.on import"),
        ("__init__.py", "", "import os\n\nos.environ['X'] = '1'\n", "on import"),
        ("color.py", "[x for x in x]", "[x for x in x if x]", "color.shift"),
    ],
)
def test_what_runs_is_seen(name, before, after, changed):
    new = code(files := FILES | {name: FILES[name].replace(before, after) if before else after})
    assert files != FILES
    assert new.digest != code(FILES).digest
    assert changed in " ".join(code(FILES).changed_in(new))


def test_a_name_that_stands_for_another_definition_of_the_same_name_is_seen():
    both = FILES | {"twin.py": "def other(x):\n    return 2 * x\n", "use.py": "from ssl_pipelines.twin import other as twin\n"}
    both["use.py"] += "from ssl_pipelines.part.deep import other\n\n\ndef use(x):\n    return other(x), twin(x), other(x)\n"
    swapped = edited("use.py", "other(x), twin(x), other(x)", "other(x), twin(x), twin(x)", both)
    crossed = edited("use.py", "other(x), twin(x), other(x)", "twin(x), other(x), twin(x)", both)
    digests = {code(files, "ssl_pipelines.use:use").digest for files in (both, swapped, crossed)}
    assert len(digests) == 3
    assert code(both, "ssl_pipelines.use:use").changed_in(code(crossed, "ssl_pipelines.use:use")) == [
        "which definition a name stands for"
    ]


def test_names_that_a_function_binds_are_its_own():
    files = FILES | {
        "use.py": "from ssl_pipelines.late import LATE\n\n\ndef use(LATE, xs):\n    for color in xs:\n        LATE += color\n    return LATE\n"
    }
    assert set(code(files, "ssl_pipelines.use:use").definitions) == {"use.use"}
    hidden = files | {
        "use.py": "from ssl_pipelines.late import LATE\n\n\ndef use(xs):\n    return [LATE for LATE in xs] + [LATE]\n"
    }
    assert "late.LATE" in code(hidden, "ssl_pipelines.use:use").definitions


def test_a_module_that_is_handed_on_is_reached_whole():
    files = edited("program.py", "color.shift(x)", "getattr(color, x)")
    assert {"color.shift", "color.unused"} <= set(code(files).definitions)
    assert {"color.shift", "color.unused"} <= set(code(FILES, "ssl_pipelines.color").definitions)


def test_a_whole_module_has_one_digest_in_whatever_order_its_definitions_stand():
    pair = FILES | {"pair.py": "A = 1\nB, C = 2, 3\n"}
    turned = FILES | {"pair.py": "B, C = 2, 3\nA = 1\n"}
    assert code(pair, "ssl_pipelines.pair").digest == code(turned, "ssl_pipelines.pair").digest


def test_what_is_cut_is_not_followed():
    assert "part.deep.even" not in code(FILES, cut={"ssl_pipelines.part.deep:helper": ("even",)}).definitions
    assert "late.LATE" not in code(FILES, cut={"*": ("LATE",)}).definitions
    assert "late.LATE" in code(FILES, cut={"ssl_pipelines.part.deep:helper": ("LATE",)}).definitions


def test_a_root_that_is_not_there():
    with pytest.raises(LookupError, match="no such module"):
        code(FILES, "ssl_pipelines.nowhere:x")
    with pytest.raises(LookupError, match="no such definition"):
        code(FILES, "ssl_pipelines.late:EARLY")


def test_a_record_of_an_earlier_version_is_other_code():
    old = Code.of({"methods/simclr.py": ["0" * 16, "1" * 16]})
    assert old.changed_in(code(FILES))
    assert Code.of(code(FILES).body()) == code(FILES)


def test_modules_are_imported_by_name_in_known_places_alone():
    """A digest follows names, not strings: what is loaded by a string has to be a root of its own (classes of methods), or imported for
    type checkers beside it (data/__init__)."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in Path(ROOT).rglob("*.py")
        if re.search(r"import_module|__import__", path.read_text())
    }
    assert users == {"methods/registry.py", "data/__init__.py", "pipeline_registry.py"}


def forms_not_followed(text: str) -> list[str]:
    """What a module does at its top that a digest would not see change."""
    found, bound, imported = [], set[str](), {}
    tree = ast.parse(text)
    for statement in tree.body:
        if isinstance(statement, ast.If) and getattr(statement.test, "id", "") == "TYPE_CHECKING" and statement.orelse:
            found.append("else of TYPE_CHECKING")
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if len(targets) > 1:
            found.append("two targets of one assignment")
        for name in (
            node.id
            for target in targets
            for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ):
            found += [f"{name} is bound twice"] if name in bound | imported.keys() else []
            bound.add(name)
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found += [f"{statement.name} is bound twice"] if statement.name in bound | imported.keys() else []
            bound.add(statement.name)
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                name = alias.asname or alias.name
                found += ["import *"] if name == "*" else []
                imported[name] = statement
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found + ["__subclasses__"] * ("__subclasses__" in names or "__init_subclass__" in text)


def test_the_package_has_no_form_that_a_digest_does_not_follow():
    """In the layers; cli.py and its like are nobody's stage."""
    found = {path.relative_to(ROOT).as_posix(): forms_not_followed(path.read_text()) for path in ROOT.glob("*/**/*.py")}
    assert {name: forms for name, forms in found.items() if forms} == {}
    for text in ("A = 1\nB = A\nA = 5", "from a import f\nf = g(f)", "A.x = y = 3", "from a import *", "x.__subclasses__()"):
        assert forms_not_followed(text), text
