"""Tiles, sheets and charts, looked at as pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from PIL import Image

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.reporting import figures
from ssl_pipelines.reporting.pictures import GAP, png, read_png, sheet, thumbnail, to_rgb
from ssl_pipelines.reporting.theme import DARK, LIGHT, Figure, Theme, chart


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def color(text: str) -> list[int]:
    return [int(text[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.parametrize(("channels", "picked"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (6, [0, 1, 2])])
def test_any_number_of_channels_becomes_three(channels: int, picked: list[int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, channels), dtype=np.uint8)
    assert np.array_equal(to_rgb(image), image[..., picked])


def test_a_sheet_places_images_and_frames() -> None:
    images = [np.full((4, 4, 1), value, dtype=np.uint8) for value in (10, 200, 90)]
    page = pixels(sheet([images[:2], images[2:]], [["#009e73", None], ["#d55e00"]], border=1))
    assert page.shape == (2 * 6 + GAP, 2 * 6 + GAP, 3)
    assert page[0, 0].tolist() == color("#009e73")
    assert page[1, 1].tolist() == [10] * 3
    assert page[1, 6 + GAP + 1].tolist() == [200] * 3
    assert page[6 + GAP, 0].tolist() == color("#d55e00")
    assert page[6 + GAP + 1, 1].tolist() == [90] * 3


def test_thumbnails_shrink_large_images_alone() -> None:
    assert thumbnail(np.zeros((300, 300, 3), np.uint8), 96).shape == (96, 96, 3)
    small = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype=np.uint8)
    assert np.array_equal(thumbnail(small, 96), to_rgb(small))


def test_only_a_png_is_shown(tmp_path: Path) -> None:
    image = np.zeros((3, 5, 3), np.uint8)
    (tmp_path / "good.png").write_bytes(png(image))
    assert np.array_equal(pixels(read_png(tmp_path / "good.png")), image)
    Image.fromarray(image).save(tmp_path / "jpeg.png", format="JPEG")
    (tmp_path / "cut.png").write_bytes(png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))[:200])
    for name in ("jpeg.png", "cut.png"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_png(tmp_path / name)


def test_a_chart_is_drawn_for_light_and_for_dark() -> None:
    def draw(canvas: Canvas, theme: Theme) -> None:
        canvas.subplots().plot([0, 1], color=theme.series[0])

    made = chart("line", "a line", draw)
    assert made.dark is not None
    for data, theme in ((made.light, LIGHT), (made.dark, DARK)):
        found = pixels(data)
        assert found[0, 0].tolist() == color(theme.paper)
        assert (found == color(theme.series[0])).all(-1).any()


def test_pictures_are_enlarged_as_far_as_a_screen_holds_them() -> None:
    tall, wide = (Figure("x", "x", png(np.zeros(shape, np.uint8)), pixels=True) for shape in ((620, 124, 3), (20, 200, 3)))
    assert (tall.size, tall.wide, tall.width) == ((124, 620), False, 124)
    assert (wide.size, wide.wide, wide.width) == ((200, 20), True, 1000)


def test_the_map_colors_the_largest_classes_and_says_so() -> None:
    labels = np.concatenate([np.repeat(np.arange(12), 5), np.full(4, 11), [-1]])
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    made = figures.embedding_map(points, labels, [f"class {i}" for i in range(12)], "map", "PCA")
    assert made.alt == "PCA: 65 test images in two dimensions, colored by class, the 10 largest of 12."
    assert figures.embedding_map(points, np.full(65, -1), [], "map", "PCA").alt.endswith("without labels.")


def test_the_confusion_matrix_is_drawn_for_many_classes_and_for_other_scripts() -> None:
    table = np.eye(40, dtype=np.int64)
    assert "100.0 % of 40 test images" in figures.confusion_matrix(table, [f"class {i}" for i in range(40)]).alt
    assert figures.confusion_matrix(np.eye(2, dtype=np.int64), ["犬", "$a^{"]).light
