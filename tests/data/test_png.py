"""Metadata, however large or damaged, refuses no pixels."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from ssl_pipelines.data.decode import DecodeSpec, decode
from ssl_pipelines.data.headers import header
from ssl_pipelines.data.png import bit_depth, without_metadata
from tests.data.image_samples import encoded, noise, png_chunk

PIXELS = noise(0, 8, 8)
PLAIN = encoded(PIXELS)
AFTER_HEADER, BEFORE_END = 33, len(PLAIN) - 12
LARGE = zlib.compress(np.random.default_rng(0).integers(0, 60, 1_400_000, dtype=np.uint8).tobytes())
TEXT = zlib.compress(bytes(5_000_000))
METADATA = {
    "color profile": png_chunk(b"iCCP", b"scanner\0\0" + LARGE),
    "compressed text": png_chunk(b"zTXt", b"Comment\0\0" + TEXT),
    "international text": png_chunk(b"iTXt", b"Comment\0\x01\0\0\0" + TEXT),
    "many texts": b"".join(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000))) for _ in range(70)),
    "plain text": png_chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000),
    "damaged profile": png_chunk(b"iCCP", b"scanner\0\0" + LARGE)[:-4] + b"oops",
}


@pytest.mark.parametrize("place", [AFTER_HEADER, BEFORE_END], ids=["before the pixels", "after them"])
@pytest.mark.parametrize("kind", METADATA)
def test_metadata_refuses_no_pixels(tmp_path: Path, kind: str, place: int) -> None:
    content = PLAIN[:place] + METADATA[kind] + PLAIN[place:]
    assert np.array_equal(decode(content, DecodeSpec(8, 3, 10**6))[0], PIXELS)
    (tmp_path / "x.png").write_bytes(content)
    seen = header(tmp_path / "x.png")
    assert seen is not None
    assert seen == header(content) == header(PLAIN)


def test_only_metadata_is_taken_away() -> None:
    content = PLAIN[:AFTER_HEADER] + METADATA["color profile"] + PLAIN[AFTER_HEADER:]
    assert without_metadata(content) == PLAIN
    assert without_metadata(PLAIN) is None
    assert without_metadata(encoded(PIXELS, "JPEG")) is None
    assert without_metadata(content[:-20]) == PLAIN[:-20], "a file that ends early stays one"


def test_bit_depth() -> None:
    assert bit_depth(PLAIN) == 8
    assert bit_depth(encoded(np.zeros((4, 4), np.uint16))) == 16
    assert bit_depth(encoded(PIXELS, "BMP")) is None
