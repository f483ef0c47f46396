"""What is decided for a whole data set: the white value, what a fourth band is, the side that is stored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_pipelines.data import Store
from tests.data.image_samples import encoded, noise, tiff, write_image

Make = Callable[..., Store]
UNASSOCIATED = 2


def folder(root: Path, files: dict[str, bytes]) -> dict[str, Any]:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return {"reader": "image_folder", "root": str(root)}


def wide(seed: int, top: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top + 1, (side, side)).astype(np.uint16)


def images(store: Store) -> np.ndarray:
    return store.gather(np.flatnonzero(store.manifest["status"] == "ok")).fields["image"]


@pytest.mark.parametrize("bits", [8, 10, 12, 13, 14, 16])
def test_gray_of_fewer_bits_keeps_its_contrast(
    tmp_path: Path, make_store: Make, bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    top = 2**bits - 1
    source = folder(tmp_path / "raw", {f"{'ab'[i % 2]}/{i}.png": encoded(wide(i, top)) for i in range(20)})
    with caplog.at_level(logging.INFO, "ssl_pipelines"):
        store = make_store(**source, size=16)
    assert store.about["white"] == top
    assert images(store).min() <= 1
    assert images(store).max() >= 254
    assert len(np.unique(images(store))) > 200
    assert (f"{top:,} becomes white (dataset.white)" in caplog.text) is (bits < 16)
    assert store.decoding["white"] == top


def test_white_is_one_for_all_images(tmp_path: Path, make_store: Make) -> None:
    files = {f"{i}.png": encoded(np.full((16, 16), 1000 * i, np.uint16)) for i in range(5)}  # up to 4,000: 12 bits
    store = make_store(**folder(tmp_path / "raw", files), size=16)
    assert images(store).mean((1, 2, 3)).tolist() == pytest.approx([1000 * i * 255 / 4095 for i in range(5)], abs=0.5)


def test_a_few_hot_pixels_do_not_decide_white(tmp_path: Path, make_store: Make) -> None:
    values = [wide(i, 4095, 64) for i in range(6)]
    for one in values:
        one[3, 3] = 65535
    store = make_store(**folder(tmp_path / "raw", {f"{i}.png": encoded(one) for i, one in enumerate(values)}), size=64)
    assert store.about["white"] == 4095
    assert images(store)[0, 3, 3, 0] == 255


def test_images_above_white_are_counted(tmp_path: Path, make_store: Make, caplog: pytest.LogCaptureFixture) -> None:
    files = {f"{i}.png": encoded(wide(i, 4095)) for i in range(300)} | {f"x{i}.png": encoded(wide(i, 65535)) for i in range(3)}
    source = folder(tmp_path / "raw", files)
    store = make_store(**source, size=16)
    assert store.about["white"] == 4095
    share, most = max(((wide(i, 65535) > 4095).mean(), f"x{i}.png") for i in range(3))
    top = max(int(wide(i, 65535).max()) for i in range(3))
    line = f"3 images of 16-bit gray have pixels above dataset.white=4095, which are cut to it ({100 * share:.3g}% of {most})"
    assert f"{line}: dataset.white={top} keeps all of them apart" in caplog.text
    caplog.clear()
    make_store(**source, size=16, white=top)
    assert "dataset.white" not in caplog.text
    assert "cut_share" not in store.manifest


def test_white_can_be_given_and_is_part_of_the_store(tmp_path: Path, make_store: Make) -> None:
    source = folder(tmp_path / "raw", {f"{i}.png": encoded(np.full((16, 16), 300, np.uint16)) for i in range(5)})
    given, auto = make_store(**source, size=16, white=600), make_store(**source, size=16)
    assert set(images(given).flat) == {128}
    assert auto.about["white"] == 511
    assert given.sha256 != auto.sha256


def test_black_images_alone_decide_nothing(tmp_path: Path, make_store: Make) -> None:
    source = folder(tmp_path / "raw", {f"{i}.png": encoded(np.zeros((16, 16), np.uint16)) for i in range(3)})
    assert make_store(**source, size=16).about["white"] == 65535


def test_levels_of_deep_images_are_counted(tmp_path: Path, make_store: Make) -> None:
    source = folder(tmp_path / "raw", {f"{i}.png": encoded(wide(i, 1023)) for i in range(5)})
    assert make_store(**source, size=16, white=65535).about["deep"] == {"images": 5, "levels": 5}
    assert make_store(**source, size=16).about["deep"]["levels"] > 100
    (tmp_path / "flat").mkdir()
    write_image(tmp_path / "flat" / "x.png", 0)
    assert "deep" not in make_store(reader="image_folder", root=str(tmp_path / "flat")).about


def test_near_infrared_is_no_transparency(tmp_path: Path, make_store: Make, caplog: pytest.LogCaptureFixture) -> None:
    bands = {i: noise(i, 16, 16, channels=4) for i in range(6)}
    source = folder(tmp_path / "raw", {f"{i}.tif": tiff(one, 2, UNASSOCIATED) for i, one in bands.items()})
    store = make_store(**source, size=16)
    assert np.array_equal(images(store), np.stack([one[..., :3] for one in bands.values()]))
    assert "looks like no transparency" in caplog.text
    assert "dataset.alpha" in caplog.text
    told = make_store(**source, size=16, alpha="composite")
    assert told.sha256 != store.sha256
    assert images(told).mean() > images(store).mean()


def test_cut_out_graphics_stay_on_white(tmp_path: Path, make_store: Make) -> None:
    bands = noise(0, 16, 16, channels=4)
    bands[..., 3] = 0
    bands[4:12, 4:12, 3] = 255
    bands[4, 4:12, 3] = 128  # a soft edge
    source = folder(tmp_path / "raw", {f"{i}.png": encoded(bands) for i in range(4)})
    found = images(make_store(**source, size=16))[0]
    assert (found[:4] == 255).all()
    assert np.array_equal(found[5:12, 4:12], bands[5:12, 4:12, :3])


def test_stacks_are_counted_in_one_line(tmp_path: Path, make_store: Make, caplog: pytest.LogCaptureFixture) -> None:
    pages = [Image.fromarray(noise(i, 16, 16)) for i in range(3)]
    source = folder(tmp_path / "raw", {f"{i}.png": encoded(noise(i)) for i in range(4)})
    for i in range(2):
        pages[0].save(tmp_path / "raw" / f"stack {i}.tif", save_all=True, append_images=pages[1:])
    make_store(**source)
    assert "of 2 files with several pages or frames the first is read, such as stack 0.tif" in caplog.text


@pytest.mark.parametrize(
    ("sides", "fit", "stored"),
    [
        ([(32, 32)], "square", 32),
        ([(20, 20)], "square", 32),
        ([(48, 40)], "square", 40),
        ([(48, 40)], "long", 48),
        ([(500, 400)], "square", 64),
        ([(160, 40)], "pad", 64),
        ([(32, 32), (32, 32), (300, 300)], "square", 32),
    ],
)
def test_the_stored_side_follows_the_sources(
    tmp_path: Path, make_store: Make, sides: list[tuple[int, int]], fit: str, stored: int
) -> None:
    files = {f"{i}.png": encoded(noise(i, height, width)) for i, (width, height) in enumerate(sides)}
    source = folder(tmp_path / "raw", files)
    stores = [make_store(seed=seed, **source, size=32, fit=fit) for seed in (0, 7)]
    assert [store.size for store in stores] == [stored, stored]
    assert [store.view_size for store in stores] == [32, 32]
    assert make_store(**source, size=32, fit=fit, stored_size=100).size == 100


def test_arrays_tell_their_side(tmp_path: Path, make_store: Make) -> None:
    np.savez(tmp_path / "x.npz", images=np.stack([noise(i, 24, 20) for i in range(5)]))
    store = make_store(reader="npz", root=str(tmp_path / "x.npz"), size=16)
    assert store.size == 20
    assert store.about["source_side"] == 20
    assert store.about["enlarged"] == 1


def test_small_sources_tell_how_much_they_were_enlarged(tmp_path: Path, make_store: Make) -> None:
    source = folder(tmp_path / "raw", {f"{i}.png": encoded(noise(i, 16, 16)) for i in range(4)})
    assert make_store(**source, size=32).about["enlarged"] == 2
