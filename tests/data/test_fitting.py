"""How a 4:1 panorama fills a square, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ssl_pipelines.data import Store
from ssl_pipelines.data.decode import DecodeSpec, decode
from tests.data.image_samples import encoded, noise

LEFT, RIGHT = (200, 10, 20), (10, 20, 200)


def panorama(width: int = 64, height: int = 16) -> np.ndarray:
    """Gray, its left eighth red and its right eighth blue; the upper half is brighter."""
    image = np.full((height, width, 3), 100, np.uint8)
    image[: height // 2] = 140
    image[:, : width // 8], image[:, -width // 8 :] = LEFT, RIGHT
    return image


def stored(image: np.ndarray, fit: str, size: int = 64, channels: int = 3) -> np.ndarray:
    from_file = decode(encoded(image), DecodeSpec(size, channels, 10**6, fit=fit))[0]  # type: ignore[arg-type]
    from_array = decode(image, DecodeSpec(size, channels, 10**6, fit=fit))[0]  # type: ignore[arg-type]
    assert np.array_equal(from_file, from_array)
    return from_file


def test_square_loses_both_ends() -> None:
    found = stored(panorama(), "square")
    assert not (found[..., 0] == 200).any()
    assert not (found[..., 2] == 200).any()


def test_pad_keeps_the_whole_image_amid_black() -> None:
    found = stored(panorama(), "pad")
    assert np.array_equal(found[24:40], panorama())
    assert not found[:24].any()
    assert not found[40:].any()


def test_long_keeps_the_whole_image_and_mirrors_it() -> None:
    found = stored(panorama(), "long")
    assert np.array_equal(found[24:40], panorama())
    assert np.array_equal(found[8:24], panorama()[::-1])
    assert np.array_equal(found[:8], panorama()[8:]), "the second mirror image, cut off"
    assert np.array_equal(found[40:56], panorama()[::-1])
    assert (found[:, 0] == LEFT).all()
    assert (found[:, -1] == RIGHT).all()


@pytest.mark.parametrize("fit", ["pad", "long"])
def test_both_ends_are_kept_where_the_image_is_resized(fit: str) -> None:
    for image, ends in ((panorama(256, 64), (0, -1)), (panorama(64, 16), (0, -1))):
        found = stored(image, fit, size=32)
        middle = found[16]
        assert np.abs(middle[ends[0]].astype(int) - LEFT).max() <= 3
        assert np.abs(middle[ends[1]].astype(int) - RIGHT).max() <= 3
    tall = stored(panorama().transpose(1, 0, 2), fit, size=32)
    assert np.abs(tall[0, 16].astype(int) - LEFT).max() <= 3
    assert np.abs(tall[-1, 16].astype(int) - RIGHT).max() <= 3


@pytest.mark.parametrize("fit", ["square", "pad", "long"])
def test_squares_are_the_same_to_the_bit(fit: str) -> None:
    assert np.array_equal(stored(noise(0, 16, 16), fit, 16), noise(0, 16, 16))
    assert np.array_equal(stored(noise(0, 24, 24), fit, 16), stored(noise(0, 24, 24), "square", 16))


@pytest.mark.parametrize("fit", ["pad", "long"])
def test_gray_and_many_channels(fit: str) -> None:
    gray = noise(0, 4, 16, channels=1)
    assert np.array_equal(stored(gray, fit, 16, 1)[6:10, :, 0], gray)
    bands = noise(0, 4, 16, channels=5)
    assert np.array_equal(decode(bands, DecodeSpec(16, 5, 10**6, fit=fit))[0][6:10], bands)  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["square", "pad", "long"])
def test_a_line_of_one_pixel_is_an_image_too(fit: str) -> None:
    assert stored(noise(0, 1, 40), fit, 8).shape == (8, 8, 3)


def test_fit_is_part_of_the_store_and_square_sources_of_it_by_default(tmp_path: Path, make_store: Callable[..., Store]) -> None:
    np.savez(tmp_path / "x.npz", images=np.stack([noise(i, 8, 8) for i in range(5)]))
    stores = {fit: make_store(reader="npz", root=str(tmp_path / "x.npz"), fit=fit) for fit in ("square", "pad", "long")}
    assert len({store.sha256 for store in stores.values()}) == 3, "a model of each decodes new images in another way"
    assert [store.decoding["fit"] for store in stores.values()] == list(stores)
