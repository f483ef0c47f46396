"""Digests follow what code does: not its words, and through its imports."""

from __future__ import annotations

import pytest

from ssl_pipelines.artifacts import code

PROGRAM = '''"""Docstring."""

from ssl_pipelines.part import helper


class Thing:
    """Docstring."""

    def go(self, x: int) -> int:
        """Docstring."""
        return x + 1  # a comment
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code._imports.cache_clear()
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "__init__.py").write_text("from ssl_pipelines.part.deep import helper\n")
    (tmp_path / "part" / "deep.py").write_text("import numpy\n\n\ndef helper():\n    from ssl_pipelines import late\n")
    (tmp_path / "late.py").write_text("LATE = 1\n")
    (tmp_path / "stranger.py").write_text("x = 1\n")
    yield tmp_path
    code._imports.cache_clear()


def digests():
    code._imports.cache_clear()
    return code.code_digests("ssl_pipelines.program")


def test_the_closure_follows_packages_and_late_imports_and_nothing_else(package):
    assert code.closure("ssl_pipelines.program") == [
        "ssl_pipelines.late",
        "ssl_pipelines.part",
        "ssl_pipelines.part.deep",
        "ssl_pipelines.program",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""Docstring."""', '"""Other words."""'),
        ("# a comment", "# another"),
        ("return x + 1 ", "return (\n            x + 1\n        )"),
    ],
)
def test_words_and_layout_are_not_meaning(package, before, after):
    old = digests()
    (package / "program.py").write_text(PROGRAM.replace(before, after))
    assert code.changed(old, digests()) == ([], ["program.py"])


def test_a_docstring_that_comes_or_goes_is_not_meaning(package):
    old = digests()
    (package / "program.py").write_text(PROGRAM.replace('        """Docstring."""\n', ""))
    assert code.changed(old, digests()) == ([], ["program.py"])


@pytest.mark.parametrize(("before", "after"), [("x + 1", "x + 2"), ("x: int", "x: int = 0"), ("class Thing", "class Things")])
def test_code_is_meaning(package, before, after):
    old = digests()
    (package / "program.py").write_text(PROGRAM.replace(before, after))
    assert code.changed(old, digests()) == (["program.py"], [])


def test_a_change_far_down_the_imports_is_seen(package):
    old = digests()
    (package / "late.py").write_text("LATE = 2\n")
    assert code.changed(old, digests()) == (["late.py"], [])


def test_a_new_import_is_seen(package):
    old = digests()
    (package / "late.py").write_text("from ssl_pipelines.stranger import x\n")
    assert code.changed(old, digests()) == (["late.py", "stranger.py"], [])


def test_a_string_that_is_no_docstring_is_meaning(package):
    (package / "late.py").write_text("LATE = 'a'\n")
    old = digests()
    (package / "late.py").write_text("LATE = 'b'\n")
    assert code.changed(old, digests())[0] == ["late.py"]


def test_the_real_closure_of_a_method_holds_its_loss_and_not_another_method():
    code._imports.cache_clear()
    found = code.closure("ssl_pipelines.methods.contrastive.simclr")
    assert "ssl_pipelines.losses.nt_xent" in found
    assert "ssl_pipelines.methods.masked.mae" not in found
