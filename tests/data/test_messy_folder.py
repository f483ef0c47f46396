"""A folder as people have them: every file ends as an image or as a row that says why not."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ssl_pipelines.data import DatasetConfig, Store, ingest
from tests.data.image_samples import encoded, noise, png_bomb, saved


def rotated_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(noise(5, 20, 30)), "JPEG", exif=exif)


def animation() -> bytes:
    frames = [Image.new("P", (9, 9), index) for index in (3, 7)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def broken_exif() -> bytes:
    return saved(Image.fromarray(noise(6, 16, 16)), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + b"\xff" * 40)


JPEG, PNG = encoded(noise(1, 24, 32), "JPEG"), encoded(noise(2))
FILES: dict[str, Callable[[], bytes] | bytes] = {
    "cats/gray.png": encoded(noise(3, channels=1)),
    "cats/palette.png": saved(Image.fromarray(noise(4)).quantize(16), "PNG"),
    "cats/alpha.png": encoded(noise(7, channels=4)),
    "cats/gray alpha.png": saved(Image.fromarray(noise(8, channels=1)).convert("LA"), "PNG"),
    "cats/cmyk.jpg": saved(Image.fromarray(noise(9)).convert("CMYK"), "JPEG"),
    "cats/sixteen.png": encoded(noise(10, channels=1).astype(np.uint16) * 257),
    "cats/one bit.png": saved(Image.fromarray(noise(11, channels=1)).convert("1"), "PNG"),
    "cats/rotated.jpg": rotated_jpeg,
    "cats/broken exif.jpg": broken_exif,
    "cats/animated.gif": animation,
    "cats/photo.WEBP": encoded(noise(12), "WEBP"),
    "cats/scan.tiff": encoded(noise(13), "TIFF"),
    "cats/pixel.png": encoded(noise(14, 1, 1)),
    "cats/needle.png": encoded(noise(15, 1, 4000)),
    "cats/twin 1.png": PNG,
    "dogs/twin 2.png": PNG,
    "dogs/Überraschung 犬 🐕.png": encoded(noise(16)),
    "dogs/wide.jpg": JPEG,
    "dogs/truncated.jpg": JPEG[:-200],
    "dogs/truncated.png": PNG[:-40],
    "dogs/damaged.png": PNG[:60] + b"\x00\x00\x00\x00" + PNG[64:],
    "dogs/empty.png": b"",
    "dogs/text.jpg": b"this is no picture\n",
    "dogs/script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "dogs/vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "dogs/float.tiff": saved(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"),
    "dogs/bomb.png": png_bomb,
    "dogs/bomb.bmp": b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 9000, 9000, 1, 24) + bytes(24),
    "dogs/notes.txt": b"not an image",
    "dogs/movie.mp4": b"\x00\x00\x00 ftypisom",
    "Makefile": b"all:\n",
    "cats/.DS_Store": b"\x00\x00\x00\x01Bud1",
    "cats/._gray.png": b"\x00\x05\x16\x07",
    ".git/objects/ab.png": PNG,
}
MODES = {  # usable -> mode of the source
    "cats/gray.png": "L",
    "cats/palette.png": "P",
    "cats/alpha.png": "RGBA",
    "cats/gray alpha.png": "LA",
    "cats/cmyk.jpg": "CMYK",
    "cats/sixteen.png": "I;16",
    "cats/one bit.png": "1",
    "cats/rotated.jpg": "RGB",
    "cats/broken exif.jpg": "RGB",
    "cats/animated.gif": "P",
    "cats/photo.WEBP": "RGB",
    "cats/scan.tiff": "RGB",
    "cats/pixel.png": "RGB",
    "cats/needle.png": "RGB",
    "cats/twin 1.png": "RGB",
    "dogs/twin 2.png": "RGB",
    "dogs/Überraschung 犬 🐕.png": "RGB",
    "dogs/wide.jpg": "RGB",
    "dogs/caf\\xe9.png": "RGB",
    "linked/elsewhere.png": "RGB",
    "cats/link to a file.png": "L",
}
REASONS = {
    "dogs/truncated.jpg": "cannot be decoded: image file is truncated",
    "dogs/truncated.png": "cannot be decoded: ",
    "dogs/damaged.png": "cannot be decoded: ",
    "dogs/empty.png": "empty file",
    "dogs/text.jpg": "not in an image format that is read",
    "dogs/script.png": "not in an image format that is read",
    "dogs/vector.png": "not in an image format that is read",
    "dogs/float.tiff": "floating point pixels, whose range is unknown",
    "dogs/bomb.png": "30,000 x 30,000 pixels are more than dataset.max_megapixels=64",
    "dogs/bomb.bmp": "9,000 x 9,000 pixels are more than dataset.max_megapixels=64",
    "dogs/notes.txt": "not an image file: .txt",
    "dogs/movie.mp4": "not an image file: .mp4",
    "Makefile": "not an image file: no ending",
    "cats/.DS_Store": "hidden file",
    "cats/._gray.png": "hidden file",
    ".git": "hidden folder, not entered",
    "cats/loop": "link to a folder that is read already",
    "cats/up": "link to a folder around dataset.root",
    "cats/itself.png": "broken link: ",
    "cats/nowhere.png": "broken link: ",
    "dogs/pipe.png": "not a regular file",
}


def make_messy_folder(root: Path) -> None:
    for name, content in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content())
    Path(os.fsdecode(os.fsencode(root / "dogs") + b"/caf\xe9.png")).write_bytes(encoded(noise(17)))
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "elsewhere.png").write_bytes(encoded(noise(18)))
    (root / "linked").symlink_to(outside)
    (root / "cats" / "loop").symlink_to("..")
    (root / "cats" / "up").symlink_to("../..")
    (root / "cats" / "itself.png").symlink_to("itself.png")
    (root / "cats" / "nowhere.png").symlink_to("gone.png")
    (root / "cats" / "link to a file.png").symlink_to("gray.png")
    os.mkfifo(root / "dogs" / "pipe.png")


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("messy") / "raw"
    make_messy_folder(root)
    return root


def config(root: Path, **more: Any) -> DatasetConfig:
    return DatasetConfig.of({"reader": "image_folder", "root": str(root), "size": 16, **more}, "dataset")


@pytest.fixture(scope="module")
def store(messy: Path) -> Store:
    out = messy.parent / "store"
    out.mkdir()
    ingest(config(messy), 0, out, workers=1)
    return Store.open(out)


@pytest.fixture(scope="module")
def rows(store: Store) -> pd.DataFrame:
    return store.manifest.set_index("path")


@pytest.mark.parametrize("path", sorted(MODES))
def test_it_is_used(rows: pd.DataFrame, path: str) -> None:
    row = rows.loc[path]
    assert (row["status"], row["mode"], pd.isna(row["reason"])) == ("ok", MODES[path], True)
    assert len(row["sha256"]) == 64


@pytest.mark.parametrize("path", sorted(REASONS))
def test_it_is_explained(rows: pd.DataFrame, path: str) -> None:
    row = rows.loc[path]
    assert row["status"] == "unusable"
    assert row["reason"].startswith(REASONS[path]), row["reason"]
    assert pd.isna(row["sha256"])
    assert pd.isna(row["mean"])


def test_no_file_is_passed_over(rows: pd.DataFrame) -> None:
    assert sorted(rows.index) == sorted({**MODES, **REASONS})


def test_a_refused_header_still_tells_the_size(rows: pd.DataFrame) -> None:
    assert (rows.loc["dogs/bomb.bmp", "width"], rows.loc["dogs/bomb.bmp", "height"]) == (9000, 9000)
    assert rows.loc["dogs/float.tiff", "mode"] == "F"
    assert (rows.loc["cats/needle.png", "width"], rows.loc["cats/needle.png", "height"]) == (4000, 1)


def test_reasons_name_no_memory_address(rows: pd.DataFrame) -> None:
    assert not rows["reason"].str.contains("0x", na=False).any()


def test_twins_have_one_hash_and_one_split(rows: pd.DataFrame) -> None:
    one, two = rows.loc["cats/twin 1.png"], rows.loc["dogs/twin 2.png"]
    assert one["sha256"] == two["sha256"]
    assert one["split"] == two["split"]


def test_folders_became_classes(store: Store, rows: pd.DataFrame) -> None:
    assert store.classes == ["cats", "dogs", "linked"]
    assert store.classes[rows.loc["dogs/wide.jpg", "label"]] == "dogs"


@pytest.mark.parametrize("size", [16, 33])
def test_the_number_of_workers_changes_no_byte(messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("ssl_pipelines.data.decoding.CHUNK_ROWS", 3)  # many chunks, several rounds
    monkeypatch.setattr("ssl_pipelines.data.decoding.CHUNKS_AHEAD", 2)
    monkeypatch.setattr("ssl_pipelines.data.decoding.ROUND_BYTES", 0)
    monkeypatch.setattr("ssl_pipelines.data.decoding.THREADS_UP_TO", 2)
    for workers in (1, 2, 3):  # alone, threads, processes
        (tmp_path / str(workers)).mkdir()
        ingest(config(messy, size=size), 3, tmp_path / str(workers), workers)
    names = sorted(file.name for file in (tmp_path / "1").iterdir())
    assert names == ["images.npy", "manifest.parquet", "store.json"]
    for name in names:
        one, two, three = ((tmp_path / workers / name).read_bytes() for workers in "123")
        assert one == two == three, name
