"""Which reason a file gets that is no image, or none that is read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.data.decode import DecodeSpec, Unusable, decode
from ssl_pipelines.data.image_files import NEVER_AN_IMAGE, UNREAD, not_an_image
from tests.data.image_samples import write_image

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "a.heif", "a.jxl", "scan.dcm", "a.dng", "a.NEF", "a.cr2", "a.psd", "a.tga"])
def test_images_in_formats_that_are_not_read(name: str) -> None:
    reason = not_an_image(name)
    assert reason == f"{UNREAD}: .{name.rpartition('.')[2]}"
    assert not reason.startswith(NEVER_AN_IMAGE)


@pytest.mark.parametrize("name", ["notes.txt", "movie.mp4", "Makefile", "labels.csv"])
def test_what_was_never_an_image(name: str) -> None:
    assert not_an_image(name).startswith(NEVER_AN_IMAGE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(100), f"{UNREAD}: HEIC"),
        (b"\0\0\0\x18ftypmif1" + bytes(100), f"{UNREAD}: HEIC"),
        (b"\xff\x0a" + bytes(100), f"{UNREAD}: JPEG XL"),
        (bytes(128) + b"DICM" + bytes(100), f"{UNREAD}: DICOM"),
        (POINTER, "Git LFS pointer in place of the file: `git lfs pull` fetches it"),
        (b"hello", "not in an image format that is read"),
    ],
)
def test_reasons_by_content(content: bytes, reason: str) -> None:
    with pytest.raises(Unusable) as refused:
        decode(content, DecodeSpec(8, 3, 10**6))
    assert refused.value.reason == reason


def test_reasons_reach_manifest_and_log(tmp_path: Path, make_store: Callable[..., Store], caplog: pytest.LogCaptureFixture) -> None:
    for i in range(6):
        write_image(tmp_path / "raw" / "ab"[i % 2] / f"{i}.png", i)
    (tmp_path / "raw/a/photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (tmp_path / "raw/b/pointer.png").write_bytes(POINTER)
    with caplog.at_level(logging.INFO, "ssl_pipelines"):
        store = make_store(reader="image_folder", root=str(tmp_path / "raw"))
    reasons = store.manifest.set_index("path")["reason"].dropna().to_dict()
    assert reasons["a/photo.HEIC"] == f"{UNREAD}: .HEIC"
    assert "git lfs pull" in reasons["b/pointer.png"]
    assert "git lfs pull" in caplog.text


@pytest.mark.parametrize(("reader", "name"), [("parquet", "train.parquet"), ("npz", "x.npz")])
def test_a_pointer_in_place_of_a_file_of_many_images(
    tmp_path: Path, make_store: Callable[..., Store], reader: str, name: str
) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(InputError, match=r"; Git LFS pointer in place of the file: `git lfs pull` fetches it$"):
        make_store(reader=reader, root=str(tmp_path))
    (tmp_path / name).write_bytes(b"no such file")
    with pytest.raises(InputError) as refused:
        make_store(reader=reader, root=str(tmp_path))
    assert "LFS" not in str(refused.value)
