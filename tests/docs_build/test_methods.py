"""A page says something of every method of the registry, and only what the code says."""

from __future__ import annotations

import json
import re

import pytest

from docs_build import methods
from docs_build.families import INTRODUCTIONS
from docs_build.mathml import INLINE, mathml
from docs_build.pages import family_page, overview
from ssl_pipelines.methods.registry import TABLE, method_class


def test_every_method_has_its_formula_and_no_formula_is_left_over():
    assert set(methods.equations()) == set(TABLE)
    for formula in methods.equations().values():
        assert set(formula) == {"formulas", "where"}
        assert formula["formulas"]


@pytest.mark.parametrize("name", TABLE)
def test_its_formulas_can_be_written(name):
    formula = methods.equations()[name]
    for line in formula["formulas"]:
        assert mathml(line, block=True).startswith("<math")
    told = re.sub(INLINE, lambda found: mathml(found.group(1)), formula["where"])
    assert "$" not in told


@pytest.mark.parametrize("name", TABLE)
def test_its_section_has_idea_paper_needs_and_defaults(name):
    told, page = methods.words(name), methods.section(name)
    assert told.title
    assert told.idea.endswith((".", "?")), told.idea
    assert "arXiv" not in told.idea
    assert methods.paper(name) in page
    assert f"method={name}`" in page
    for key in method_class(name).Config.model_fields:
        assert key in ("name", "views") or f"`{key}`" in page, key


def test_the_families_pages_hold_all_methods_once():
    assert set(methods.FAMILIES) == {entry.family for entry in TABLE.values()} == set(INTRODUCTIONS)
    pages = "\n".join(family_page(family) for family in methods.FAMILIES)
    listed = overview()
    for name in TABLE:
        assert pages.count(f"{{ #{name} }}") == 1
        assert f".md#{name})" in listed


def test_a_row_of_the_leaderboard_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "docs/leaderboard/cpu"
    folder.mkdir(parents=True)
    row = {"dataset": "cifar10", "budget": "cpu", "images_seen": 60160, "encoder": "resnet_small", "seed": 0, "linear_top1": 0.4594}
    row |= {"random_init_top1": 0.31313, "gain": 0.14627, "gain_low": 0.1332, "gain_high": 0.1596, "knn_top1": 0.4018}
    (folder / "simclr.json").write_text(json.dumps(row))
    (folder / "mae.json").write_text(json.dumps(row | {key: None for key in row if key.endswith("top1") or key.startswith("gain")}))
    monkeypatch.setattr(methods, "ROOT", tmp_path)
    assert "linear probe 45.9 %, random init 31.3 %, gain +14.6 [+13.3, +16.0], kNN 40.2 %" in methods.section("simclr")
    assert "**Result**" not in methods.section("mae")  # it ended before it was scored
    assert "**Result**" not in methods.section("byol")


def test_what_differs_stands_apart_from_the_idea():
    told = methods.words("simclr")
    assert told.idea == "Two strong views of an image attract each other, all other images of the batch repel."
    assert told.differs.startswith("The defaults are the authors' for small images")
    assert "Differs" not in told.more


def test_the_order_is_that_of_the_years():
    assert methods.of_family("masked")[0] == "beit"
    assert methods.year("van den Oord et al. 2018, arXiv:1807.03748") == 2018


def test_the_paper_is_named_once_and_no_sentence_is_lost():
    for name in TABLE:
        page = methods.section(name)
        found = re.search(r"arXiv:[\d.]+\d", TABLE[name].paper)
        if found:
            told = methods.words(name)
            assert found.group() not in told.idea + told.more, name
        assert page
    assert "All tokens enter the encoder" in methods.words("simmim").more
