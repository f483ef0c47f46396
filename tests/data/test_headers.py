"""What a file's header is taken to say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ssl_pipelines.data.decode import DecodeSpec, decode
from ssl_pipelines.data.headers import header
from tests.data.image_samples import encoded, noise, saved, tiff

RGB, WHITE_IS_ZERO, BLACK_IS_ZERO = 2, 0, 1
UNSPECIFIED, UNASSOCIATED = 0, 2  # what TIFF 6.0 lets ExtraSamples say of a fourth band


def pixels(content: bytes, channels: int = 3, **spec: object) -> np.ndarray:
    return decode(content, DecodeSpec(8, channels, 10**6, **spec))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("extra", [None, UNSPECIFIED])
def test_a_fourth_band_that_nobody_calls_alpha_is_left_out(extra: int | None) -> None:
    bands = noise(0, 8, 8, channels=4)
    content = tiff(bands, RGB, extra)
    assert np.array_equal(pixels(content), bands[..., :3])
    assert not header(content).alpha  # type: ignore[union-attr]


def test_a_fourth_band_called_alpha_is_transparency_unless_told() -> None:
    bands = noise(0, 8, 8, channels=4)
    bands[..., 3] = 0
    content = tiff(bands, RGB, UNASSOCIATED)
    assert header(content).alpha  # type: ignore[union-attr]
    assert (pixels(content) == 255).all()
    assert np.array_equal(pixels(content, alpha=False), bands[..., :3])


def test_alpha_of_gray_and_palettes() -> None:
    gray = Image.merge("LA", (Image.new("L", (8, 8), 100), Image.new("L", (8, 8), 0)))
    assert set(pixels(saved(gray, "PNG"), 1).flat) == {255}
    assert set(pixels(saved(gray, "PNG"), 1, alpha=False).flat) == {100}
    palette = Image.fromarray(np.zeros((8, 8), np.uint8), "P")
    palette.putpalette([10, 20, 30] * 256)
    content = saved(palette, "PNG", transparency=0)
    assert set(pixels(content, alpha=False).flat) == {255}, "a transparent color of a palette is no band"


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_where_zero_is_white_brightness_is_turned_around(dtype: type, white: int) -> None:
    values = (np.arange(64).reshape(8, 8) * (white // 63)).astype(dtype)
    upright = pixels(tiff(values, BLACK_IS_ZERO), 1)
    turned = pixels(tiff(values, WHITE_IS_ZERO), 1)
    assert np.abs(turned.astype(int) + upright - 255).max() <= 1
    assert turned[0, 0] == 255


def test_zero_is_white_up_to_the_given_white() -> None:
    values = np.array([[0, 4095], [2048, 1024]], np.uint16).repeat(4, 0).repeat(4, 1)
    found = pixels(tiff(values, WHITE_IS_ZERO), 1, white=4095)
    assert found[0, 0, 0] == 255
    assert found[0, 7, 0] == 0
    assert found[7, 0, 0] in (127, 128)


def test_pages_and_frames_are_counted() -> None:
    pages = [Image.fromarray(noise(i, 8, 8)) for i in range(3)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found, info = decode(content, DecodeSpec(8, 3, 10**6))
    assert np.array_equal(found, noise(0, 8, 8))
    assert info["pages"] == 3
    moving = saved(pages[0], "GIF", save_all=True, append_images=pages[1:])
    assert decode(moving, DecodeSpec(8, 3, 10**6))[1]["pages"] == 2
    for single in (encoded(noise(0, 8, 8), "TIFF"), encoded(noise(0, 8, 8), "GIF")):
        assert "pages" not in decode(single, DecodeSpec(8, 3, 10**6))[1]


def test_a_damaged_second_page_leaves_the_first() -> None:
    pages = [Image.fromarray(noise(i, 8, 8)) for i in range(2)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    second = content.index(noise(1, 8, 8).tobytes())  # its pixels, and all that follows them
    cut = content[: second - 4]
    assert np.array_equal(pixels(cut), noise(0, 8, 8))


@pytest.mark.parametrize(
    ("content", "deep"),
    [
        (encoded(np.zeros((8, 8), np.uint16)), True),
        (tiff(np.zeros((8, 8, 3), np.uint16), RGB), True),
        (tiff(np.zeros((8, 8, 3), np.uint8), RGB), False),
        (encoded(noise(0)), False),
        (encoded(noise(0), "JPEG"), False),
    ],
)
def test_more_than_eight_bits(content: bytes, deep: bool) -> None:
    assert header(content).deep is deep  # type: ignore[union-attr]
