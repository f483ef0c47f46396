"""The decoder against pixel values that are known beforehand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import DecodeSpec, Unusable, decode
from ssl_pipelines.data.headers import Header, header
from tests.data.image_samples import encoded, noise, png_bomb, saved

LIMIT = 10_000_000


def pixels(content: bytes | np.ndarray, size: int = 8, channels: int = 3) -> np.ndarray:
    return decode(content, DecodeSpec(size, channels, LIMIT))[0]


def quadrants(size: int = 8) -> np.ndarray:
    """Red, green over blue, white."""
    image = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    image[:half, :half], image[:half, half:] = (255, 0, 0), (0, 255, 0)
    image[half:, :half], image[half:, half:] = (0, 0, 255), (255, 255, 255)
    return image


def test_right_size_is_kept_to_the_bit() -> None:
    image = noise(0, 8, 8)
    assert np.array_equal(pixels(encoded(image)), image)
    assert np.array_equal(pixels(image), image)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (65535, 255), (257 * 100, 100), (128, 0), (129, 1), (32768, 128)])
def test_sixteen_bits_are_scaled(value: int, expected: int) -> None:
    image = np.full((8, 8), value, np.uint16)
    assert set(pixels(encoded(image), channels=1).flat) == {expected}
    assert set(pixels(encoded(image, "TIFF")).flat) == {expected}


def test_sixteen_bits_big_endian() -> None:
    header = b"P5 8 8 65535\n"
    assert set(pixels(header + np.full(64, 257 * 9, ">u2").tobytes(), channels=1).flat) == {9}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    upright = quadrants()
    turned = {  # how the camera stored it, by the EXIF standard's table of first row and first column
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("PNG", "TIFF"):
        content = saved(Image.fromarray(np.ascontiguousarray(turned)), form, exif=exif)
        assert np.array_equal(pixels(content), upright), form


def test_cmyk_becomes_rgb() -> None:
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[..., 0] = 255  # cyan alone
    content = saved(Image.fromarray(ink, "CMYK"), "TIFF")
    assert np.array_equal(pixels(content)[0, 0], [0, 255, 255])


def test_alpha_is_composited_on_white() -> None:
    color = np.zeros((8, 8, 4), np.uint8)
    color[...] = (255, 0, 0, 0)
    color[:, 4:, 3] = 128
    left, right = pixels(encoded(color))[0, [0, 7]]
    assert left.tolist() == [255, 255, 255]
    assert right.tolist() == [255, 127, 127]  # 128/255 red on white


def test_transparent_palette_is_composited_on_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (0, 0, 8, 4))
    content = saved(image, "PNG", transparency=0)
    assert pixels(content)[[0, 7], 0].tolist() == [[200, 100, 50], [255, 255, 255]]


def test_color_as_one_channel_is_luma_and_gray_as_three_is_repeated() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    for content in (encoded(red), red):
        assert set(pixels(content, channels=1).flat) == {76}  # 0.299 * 255
    gray = noise(1, 8, 8, channels=1)
    for content in (encoded(gray), gray):
        assert np.array_equal(pixels(content), np.repeat(gray[:, :, None], 3, axis=2))


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("#102030", "#ffffff")]
    assert pixels(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0, 0].tolist() == [0x10, 0x20, 0x30]


def test_center_square_of_a_wide_image() -> None:
    wide = np.zeros((8, 20, 3), np.uint8)
    wide[:, 6:14] = noise(2, 8, 8)
    assert np.array_equal(pixels(encoded(wide)), wide[:, 6:14])
    assert np.array_equal(pixels(encoded(wide.transpose(1, 0, 2))), wide[:, 6:14].transpose(1, 0, 2))


def test_shrinking_is_antialiased() -> None:
    board = np.indices((256, 256)).sum(0) % 2 * 255  # single pixels, black and white
    assert np.abs(pixels(board.astype(np.uint8), channels=1).astype(int) - 127.5).max() <= 4


def test_large_jpegs_are_reduced_while_decoded_and_still_right() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 1024)[:, None], (1024, 1024)).astype(np.uint8)
    expected = np.linspace(0, 255, 1024).reshape(16, 64).mean(1)
    found = pixels(encoded(ramp, "JPEG", quality=95), size=16, channels=1)[:, 8, 0]
    assert np.abs(found - expected).max() < 4
    stripes = np.broadcast_to(np.arange(1024) // 6 % 2 * 255, (1024, 1024)).astype(np.uint8)  # fine, yet visible at a quarter
    reduced, whole = (
        pixels(source, size=256, channels=1).astype(int) for source in (encoded(stripes, "JPEG", quality=95), stripes)
    )
    assert np.abs(reduced - whole).mean() < 6


def test_one_pixel_fills_the_square() -> None:
    assert np.array_equal(pixels(np.full((1, 1, 3), (1, 2, 3), np.uint8)), np.full((8, 8, 3), (1, 2, 3), np.uint8))


def test_arrays_keep_many_channels() -> None:
    image = noise(3, 16, 16, channels=5)
    small = pixels(image, channels=5)
    assert small.shape == (8, 8, 5)
    assert np.array_equal(small[:, :, 3], pixels(image[:, :, 3], channels=1)[:, :, 0])
    with pytest.raises(Unusable, match="array of 5 channels, 3 wanted"):
        pixels(image)


@pytest.mark.parametrize(
    ("image", "what"),
    [(np.zeros((8, 8)), "float64"), (np.zeros((0, 8), np.uint8), r"\(0, 8\)"), (np.zeros(8, np.uint8), r"\(8,\)")],
)
def test_other_arrays_are_refused(image: np.ndarray, what: str) -> None:
    with pytest.raises(Unusable, match=what):
        pixels(image)


def test_limit_holds_for_arrays_and_bytes() -> None:
    for content in (noise(4, 11, 10), encoded(noise(4, 11, 10))):
        with pytest.raises(Unusable, match=r"10 x 11 pixels are more than dataset\.max_megapixels=0\.0001") as refused:
            decode(content, DecodeSpec(8, 3, 100))
        assert refused.value.info is not None
        assert refused.value.info["height"] == 11
    with pytest.raises(Unusable, match=r"file of 1,\d+,\d+ bytes"):
        decode(bytes(1_100_000), DecodeSpec(8, 3, 100))


def test_nothing_is_warned_about(recwarn: pytest.WarningsRecorder) -> None:
    palette = Image.fromarray(noise(5)).quantize(4)
    content = saved(palette, "PNG", transparency=bytes([0, 128]))  # Pillow warns: transparency expressed in bytes
    pixels(content, channels=1)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("LA", 1), ("1", 1), ("I;16", 1), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("P", 3)]
)
def test_header_tells_channels(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.fromarray(noise(6)).quantize(8) if mode == "P" else Image.new(mode, (8, 8))
    content = saved(image, "TIFF")
    (tmp_path / "x.tif").write_bytes(content)
    side = 12 if mode == "P" else 8
    seen = Header(side, side, channels, deep=mode == "I;16", alpha=mode in ("LA", "RGBA"))
    assert header(content) == header(tmp_path / "x.tif") == seen


def test_header_of_a_gray_palette_and_of_no_image() -> None:
    assert header(saved(Image.fromarray(noise(7, channels=1)).convert("P"), "GIF")) == Header(12, 12, 1)
    assert header(b"no image") is None
    assert header(noise(8, 12, 10, channels=7)) == Header(10, 12, 7)


def test_bomb_costs_no_memory(tmp_path: Path) -> None:
    """In a process of its own: the peak rises by far less than the 900 MB that decoding it takes."""
    (tmp_path / "bomb.png").write_bytes(png_bomb())
    script = """
import resource, sys
from pathlib import Path
from ssl_pipelines.data.decode import DecodeSpec, Unusable, decode
content = Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(content, DecodeSpec(32, 3, int(sys.argv[2])))
except Unusable as refused:
    print(refused.reason)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "bomb.png"), "64000000"]
    reason, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "more than dataset.max_megapixels=64" in reason
    assert int(kilobytes) < 30_000


def test_a_large_image_can_be_allowed() -> None:
    """196 million pixels: more than Pillow itself would open."""
    config = DatasetConfig(max_megapixels=200)
    found, info = decode(png_bomb(14_000), DecodeSpec(8, 1, config.max_pixels))
    assert (info["width"], info["height"]) == (14_000, 14_000)
    assert not found.any()
