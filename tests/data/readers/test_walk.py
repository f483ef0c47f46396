"""Folders that systems keep for themselves are rows of the manifest, and no images."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_pipelines.data import DatasetConfig, raw_digest
from tests.data.image_samples import write_image
from tests.data.stores import Make, by_path, counts, said, write_parquet

FOLDERS = {
    "a/@eaDir/0.png": "@eaDir",
    "$RECYCLE.BIN/S-1-5": "$RECYCLE.BIN",
    "__MACOSX/a": "__MACOSX",
    "#recycle": "#recycle",
    "System Volume Information": "System Volume Information",
}


def test_folders_of_systems_are_left_out(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ssl_pipelines")
    for i in range(20):
        write_image(tmp_path / "ab"[i % 2] / f"{i}.png", i)
    before = raw_digest(DatasetConfig(reader="image_folder", root=str(tmp_path)))
    for i, folder in enumerate([*FOLDERS, ".Trashes", "b/.@__thumb"]):
        write_image(tmp_path / folder / "thumb.png", 100 + i)
    store = make_store(reader="image_folder", root=str(tmp_path))
    assert (store.classes, counts(store)) == (["a", "b"], {"train": 14, "validation": 2, "test": 4})
    reasons = by_path(store, "reason")
    assert {path for path, reason in reasons.items() if reason == "hidden folder of the system, not entered"} == {
        "a/@eaDir",
        "$RECYCLE.BIN",
        "__MACOSX",
        "#recycle",
        "System Volume Information",
    }
    assert {path for path, reason in reasons.items() if reason == "hidden folder, not entered"} == {".Trashes", "b/.@__thumb"}
    left_out = "#recycle (1), $RECYCLE.BIN (1), @eaDir (1), System Volume Information (1), __MACOSX (1)"
    assert said(caplog)[1] == [f"left out, as folders of thumbnails and deleted files that systems keep: {left_out}"]
    assert raw_digest(DatasetConfig(reader="image_folder", root=str(tmp_path))) == before  # thumbnails come and go


def test_parquet_files_in_them_are_left_out(tmp_path: Path, make_store: Make) -> None:
    write_parquet(tmp_path / "a.parquet", [0, 1], label=["x", "y"])
    write_parquet(tmp_path / "#recycle" / "b.parquet", [2, 3], label=["x", "y"])
    assert set(by_path(make_store(reader="parquet", root=str(tmp_path)), "split")) == {"a.parquet#0", "a.parquet#1"}
