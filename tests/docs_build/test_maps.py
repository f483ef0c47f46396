"""The table of map sizes: measured, and what the papers have."""

from __future__ import annotations

import pytest

from docs_build.maps import METHODS, last_map, map_sizes


@pytest.fixture(scope="module")
def cells() -> dict[str, list[str]]:
    """method -> what stands in its row."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in map_sizes().splitlines()]
    assert rows[0] == ["method", "views of 32 px", "views of 96 px", "views of 224 px"]
    return {row[0].strip("`"): row[1:] for row in rows[2:]}


def test_every_method_whose_map_follows_has_a_row(cells):
    assert list(cells) == METHODS
    assert {"exemplar", "inpainting", "jigsaw_clustering", "pix_contrast", "qb_heat"} <= set(cells)


@pytest.mark.parametrize("name", ["inpainting", "jigsaw_clustering", "pix_contrast"])
def test_the_papers_map_at_224_px(cells, name):
    assert cells[name] == ["4 x 4", "6 x 6", "7 x 7"]
    assert last_map(name, 224, "resnet50") == (7, 224)


def test_exemplars_row_tells_of_its_seeds(cells):
    assert cells["exemplar"] == ["2 x 2", "2 x 2, of a seed of 32 px", "2 x 2, of a seed of 32 px"]
