"""The page of a search: names are text, pictures are inside, small ones exact."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ssl_pipelines.reporting.search_page import Hit, Section, tile, write_search_page


def picture(side):
    return np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_names_are_text_and_nothing_is_fetched(tmp_path):
    hits = [Hit("<b>&.png", 0.98765, True, picture(100)), Hit("gone.png", -0.5, False, None)]
    sections = [Section("<i>", picture(8), None, hits), Section("bad", None, "it is <broken>", [])]
    write_search_page(tmp_path / "p.html", "<q>", "a & b", [("Searched", "2 images")], sections, 5)
    page = (tmp_path / "p.html").read_text()
    for tag in ("<b>&", "<i>", "<q>", "<broken>"):
        assert tag not in page
    assert "&lt;b&gt;&amp;.png" in page
    assert "0.988" in page
    assert "-0.500" in page
    assert page.count("the same image") == 1
    assert page.count("no picture") == 2
    assert "The first 2 of 5 queries" in page
    assert page.count('src="data:image/') == page.count("<img") == 2


def test_a_small_picture_is_exact_and_a_large_one_small():
    small, large = tile(picture(28)), tile(picture(192))
    content = base64.b64decode(small.uri.partition(",")[2])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), picture(28))
    assert (small.pixels, large.pixels) == (True, False)
    assert large.uri.startswith("data:image/jpeg;base64,")
