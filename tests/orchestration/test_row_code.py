"""What a measured row's digest follows in the real package: all that the row runs, and nothing else."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path

import pytest

from ssl_pipelines.artifacts import code
from ssl_pipelines.networks import build
from ssl_pipelines.orchestration.leaderboard.budgets import BUDGETS, all_methods
from ssl_pipelines.orchestration.leaderboard.plans import ENCODERS, row_code

ROWS = {"simclr": "resnet_small", "rotation": "resnet_small", "mae": "vit_mini", "clusterfit": "resnet_small"}


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A copy of the package, for digests alone."""
    copy = tmp_path / "ssl_pipelines"
    shutil.copytree(code.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", copy)
    yield copy
    code._program.cache_clear()


def digests() -> dict[str, str]:
    code._program.cache_clear()
    return {method: row_code(method, encoder).digest for method, encoder in ROWS.items()}


def edit(source: Path, name: str, before: str, after: str) -> set[str]:
    """The rows that a change makes stale."""
    old, path = digests(), source / name
    text = path.read_text()
    assert before in text, f"{name} has no longer {before!r}"
    path.write_text(text.replace(before, after, 1))
    new = digests()
    return {method for method in old if old[method] != new[method]}


@pytest.mark.parametrize(
    ("name", "before", "after", "stale"),
    [
        ("losses/nt_xent.py", "\n\n\n", "\n\n\nSCALE = 2\n\n\n", set()),  # no name reaches it
        ("methods/registry.py", '"swav": Entry(', '"swav2": Entry("clustering.swav", "SwAV", ""),\n    "swav": Entry(', set()),
        ("orchestration/leaderboard/jobs.py", "scores.mkdir(exist_ok=True)", "scores.mkdir(exist_ok=False)", set()),
        ("reporting/theme.py", "class Figure", "SIZE = 2\n\n\nclass Figure", set()),
        ("methods/contrastive/simclr.py", "class SimCLR(Method):", "class SimCLR(Method):\n    extra = 1", {"simclr", "clusterfit"}),
        ("networks/resnet.py", "class ResNet(", "class ResNet(  # a comment\n    ", set()),
        ("networks/resnet.py", "return ", "return +", {"simclr", "rotation", "clusterfit"}),
        ("networks/vit.py", "return ", "return +", {"mae"}),
        ("training/optim.py", "math.cos(", "math.sin(", set(ROWS)),
        ("training/loop.py", "def run_step(self", "def run_step(self, extra=0, *", set(ROWS)),
        ("evaluation/logistic.py", "HISTORY = 10", "HISTORY = 11", set(ROWS)),
        ("algorithms/neighbors.py", ".argmax(dim=1)", ".argmin(dim=1)", set(ROWS)),
    ],
)  # fmt: skip
def test_a_change_makes_those_rows_stale_that_run_it(source, name, before, after, stale):
    assert edit(source, name, before, after) == stale


def test_every_module_renamed_every_docstring_and_comment_gone_and_no_row_is_stale(source):
    """By the tools of the standard library alone: unparsed text has neither comments nor layout."""
    import ast

    old = digests()
    for path in source.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        path.write_text(ast.unparse(tree))
    assert digests() == old
    (source / "losses").rename(source / "objectives")
    for path in source.rglob("*.py"):
        path.write_text(re.sub(r"\bssl_pipelines\.losses\b", "ssl_pipelines.objectives", path.read_text()))
    assert digests() == old


def test_the_kinds_of_encoders_are_all_that_is_built():
    built = set(re.findall(r"return (\w+)\(", inspect.getsource(build.build_encoder)))
    assert built == {name for classes in ENCODERS.values() for name in classes}


def test_a_row_that_stands_on_another_kind_of_encoder_follows_that_one_too():
    """beit is a ViT, and its tokenizer is trained with a ResNet."""
    assert {"networks.resnet.ResNet", "networks.vit.ViT"} <= row_code("beit", "vit_mini").definitions.keys()
    assert "networks.resnet.ResNet" not in row_code("mae", "vit_mini").definitions


def test_how_threads_wait_is_in_no_code():
    assert not any(name.startswith("artifacts.cores") for name in row_code("simclr", "resnet_small").definitions)


def test_every_row_has_a_code_with_training_optimizers_and_both_probes():
    for method in all_methods():
        found = row_code(method, BUDGETS["cpu"].backbone(method)["name"]).definitions
        assert {
            "training.loop.Loop",
            "training.optim.build_optimizer",
            "evaluation.linear.predict",
            "evaluation.knn.predict",
        } <= found.keys(), method
