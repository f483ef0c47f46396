"""What ingest writes is what Store reads."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig, Store, ingest
from ssl_pipelines.data.decode import DecodeSpec
from ssl_pipelines.data.decoding import decoded_chunks
from ssl_pipelines.data.packing import NPY_HEADER, npy_header
from ssl_pipelines.data.readers import open_reader
from tests.data.image_samples import noise, write_image

Make = Callable[..., Store]


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    """20 images of two classes, and one broken file in the middle."""
    for i in range(20):
        write_image(tmp_path / "raw" / "ab"[i // 10] / f"{i:02}.png", i, height=8, width=8)
    (tmp_path / "raw" / "a" / "05 broken.png").write_bytes(b"x")
    return {"reader": "image_folder", "root": str(tmp_path / "raw")}


def test_gather_follows_the_ids(make_store: Make, source: dict[str, Any]) -> None:
    store = make_store(**source)
    ids = np.array([20, 3, 7, 3, 0])
    expected = np.stack([noise(seed, 8, 8) for seed in (19, 3, 6, 3, 0)])  # the broken file is id 5
    assert np.array_equal(store.gather(ids).fields["image"], expected)
    assert store.gather(ids[:0]).fields["image"].shape == (0, 8, 8, 3)
    assert store.labels(ids).tolist() == [1, 0, 0, 0, 0]
    for bad in (5, 21, -1):
        with pytest.raises(IndexError, match="no usable image"):
            store.gather(np.array([0, bad]))


def test_manifest_is_as_agreed(make_store: Make, source: dict[str, Any]) -> None:
    store = make_store(**source)
    schema = pq.read_schema(store.folder / "manifest.parquet")
    kinds = {
        "id": pa.int64(), "path": pa.string(), "split": pa.string(), "label": pa.int64(), "sha256": pa.string(),
        "width": pa.int64(), "height": pa.int64(), "mode": pa.string(), "channels": pa.int64(), "status": pa.string(),
        "reason": pa.string(), "mean": pa.float64(), "std": pa.float64(),
    }  # fmt: skip
    assert dict(zip(schema.names, schema.types, strict=True)) == kinds
    assert str(store.manifest["label"].dtype) == "Int64"
    assert store.manifest["id"].tolist() == list(range(21))
    assert store.manifest["path"].is_monotonic_increasing
    usable = store.manifest[store.manifest["status"] == "ok"]
    for row, image in zip(usable.itertuples(), store.gather(usable["id"].to_numpy()).fields["image"], strict=True):
        assert row.sha256 == hashlib.sha256(image.tobytes()).hexdigest()
        assert (row.mean, row.std) == pytest.approx((image.mean() / 255, image.std() / 255), rel=1e-9)


def test_statistics_are_of_train_and_unlabeled(make_store: Make, source: dict[str, Any]) -> None:
    store = make_store(**source)
    assert len(store.ids("train")) == 14
    images = store.gather(store.pretraining_ids()).fields["image"].reshape(-1, 3) / 255
    assert store.mean == pytest.approx(images.mean(0), rel=1e-9)
    assert store.std == pytest.approx(images.std(0), rel=1e-9)


def test_constant_images_have_no_spread(make_store: Make, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.full((3, 8, 8, 3), 77, np.uint8))
    store = make_store(reader="npz", root=str(tmp_path))
    assert store.manifest["std"].tolist() == [0, 0, 0]
    assert store.std == [0, 0, 0]


def test_images_file_is_plain_numpy(make_store: Make, source: dict[str, Any]) -> None:
    store = make_store(**source)
    images = np.load(store.folder / "images.npy")
    assert (images.shape, images.dtype) == ((20, 8, 8, 3), np.uint8)
    assert (store.folder / "images.npy").stat().st_size == NPY_HEADER + images.nbytes
    assert len(npy_header((10**12, 1024, 1024, 64))) == NPY_HEADER


def test_sha256_tells_content_apart(make_store: Make, source: dict[str, Any]) -> None:
    first = make_store(**source)
    assert make_store(**source).sha256 == first.sha256
    assert make_store(seed=1, **source).sha256 != first.sha256  # other splits
    assert make_store(**source, channels=1).sha256 != first.sha256
    (Path(source["root"]) / "a" / "05 broken.png").write_bytes(b"broken in another way")
    assert make_store(**source).sha256 == first.sha256
    write_image(Path(source["root"]) / "a" / "03.png", 99, height=8, width=8)
    assert make_store(**source).sha256 != first.sha256


def test_another_schema_is_refused(make_store: Make, source: dict[str, Any]) -> None:
    store = make_store(**source)
    about = json.loads((store.folder / "store.json").read_text())
    (store.folder / "store.json").write_text(json.dumps(about | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema_version=99 is not read, allowed is 1"):
        Store.open(store.folder)
    with pytest.raises(InputError, match=r"store\.json is missing"):
        Store.open(store.folder / "nowhere")


def test_images_that_do_not_fit_the_manifest_are_refused(make_store: Make, source: dict[str, Any]) -> None:
    folder = make_store(**source).folder
    np.save(folder / "images.npy", np.zeros((19, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="not what its manifest describes"):
        Store.open(folder).gather(np.array([0]))
    (folder / "images.npy").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        Store.open(folder).gather(np.array([0]))


def test_no_disk_space(make_store: Make, source: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 3000, 3000))
    with pytest.raises(InputError, match=r"needs about 0.0 MB, 0.0 MB are free; free some or lower dataset.stored_size"):
        make_store(**source)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, 21 * 8 * 8 * 3))
    assert len(make_store(**source).manifest) == 21


def test_one_line_says_what_came_of_it(source: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.INFO, logger="ssl_pipelines"):
        ingest(DatasetConfig(size=8, **source), 0, tmp_path / "out", 1)
    (record,) = [record for record in caplog.records if record.name == "ssl_pipelines"]
    line = record.getMessage()
    assert line.startswith("ingest raw: 20 of 21 files usable (train 14, validation 2, test 4), 8x8x3, ")
    assert line.endswith("not usable: not in an image format that is read (1)")


def test_no_more_is_read_ahead_than_agreed(source: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The consumer takes nothing but the first chunk: no more than one round may have been listed by then."""
    monkeypatch.setattr("ssl_pipelines.data.decoding.CHUNK_ROWS", 1)
    monkeypatch.setattr("ssl_pipelines.data.decoding.CHUNKS_AHEAD", 2)
    monkeypatch.setattr("ssl_pipelines.data.decoding.ROUND_BYTES", 0)
    reader, listed = open_reader(DatasetConfig(size=8, **source)), 0
    chunks = list(reader.chunks(1))

    def counted(rows: int) -> Any:
        nonlocal listed
        for chunk in chunks:
            listed += 1
            yield chunk

    monkeypatch.setattr(reader, "chunks", counted)
    decoded = decoded_chunks(reader, DecodeSpec(8, 3, 10**6), workers=2)
    next(decoded)
    assert listed == 4
    assert 1 + sum(1 for _ in decoded) == 21
