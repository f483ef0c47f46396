"""The pages that are written by hand: their places can be filled, and their commands name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs_build import pages, reference, stages
from docs_build.blocks import blocks
from docs_build.markup import plain
from ssl_pipelines.artifacts.options import options
from ssl_pipelines.methods.registry import TABLE, method_class
from ssl_pipelines.orchestration.stages import RUN_KEYS, project_stages

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md"))
# Written of already, not there yet: take a name out of this list as it comes.
NOT_YET: set[str] = set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_place_is_filled(path):
    text = pages.filled(path.read_text(encoding="utf-8"))
    assert "<!-- made:" not in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_its_commands_name_what_there_is(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"--pipelines?=(\w+)", text):
        assert name in {*project_stages(), *NOT_YET, "NAME"}, name
    for name in re.findall(r"--env=(\w+)", text):
        assert name == "NAME" or (ROOT / "conf" / name).is_dir(), name
    for name in re.findall(r"\bmethod=(\w+)", text):
        assert name in TABLE or name == "NAME", name
    for given in re.findall(r"--params ([^\s`]+)", text):
        for key in re.findall(r"(?:^|,)([\w.]+)=", given):
            assert key.split(".")[0] in {*project_stages().blocks, *RUN_KEYS, *NOT_YET}, key
            _known(key)


def _known(key: str) -> None:
    block, _, rest = key.partition(".")
    if block in project_stages().blocks and rest:
        assert rest.split(".")[0] in project_stages().blocks[block].model_fields, key
    if block == "methods":
        name, _, inner = rest.partition(".")
        assert inner.split(".")[0] in method_class(name).Config.model_fields, key


def test_what_is_there_is_not_called_missing():
    assert not NOT_YET & {*project_stages()}


def test_the_picture_shows_every_room_and_what_it_stands_on():
    drawn, listed = stages.picture(on_request=True), stages.stages_table()
    for name in [one.name for one in project_stages().making]:
        assert f">{name}</text>" in drawn
        assert f"| `{name}` |" in listed
    assert drawn.count('<path class="arrow') >= len(project_stages().making)  # one into each, at least
    assert "linear_eval stands on extract_features" in drawn  # and so on pretrain, which needs no arrow of its own


def test_every_block_has_its_keys_with_their_sentences():
    page = blocks()
    for name, model in project_stages().blocks.items():
        assert f"## {name}\n" in page
        for option in options(model):
            assert f"| `{option.key}` | `{option.default}` | {plain(option.allowed)} | {plain(option.meaning)} |" in page
    assert "### finetune.augmentation\n" in page  # a block within a block
    assert page.count("| `shared_flip` |") == 1  # listed once, though every method has views


def test_the_reference_has_every_public_module():
    found = {module.name for layer in reference.LAYERS for module in reference.modules(layer)}
    source = reference.SOURCE
    assert {path.name for path in source.iterdir() if (path / "__init__.py").is_file()} == set(reference.LAYERS)
    assert found == {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in source.rglob("*.py")
        if len(path.relative_to(source).parts) > 1 and not path.name.startswith("_")
    }
    navigation = reference.navigation()
    for name in found:
        assert f"({name.replace('.', '/')}.md)" in navigation
