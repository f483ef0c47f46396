"""Each reader on tiny data of its own kind."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig, raw_digest
from ssl_pipelines.data.readers import open_reader
from tests.data.image_samples import encoded, noise, write_image
from tests.data.stores import Make, by_path, counts, labels, refusal

# --- mnist5k


def test_mnist5k(make_store: Make) -> None:
    store = make_store(size=28)
    assert (store.name, store.channels, store.classes) == ("mnist5k", 1, list("0123456789"))
    assert counts(store) == {"train": 3500, "validation": 500, "test": 1000}
    assert np.bincount(store.labels(store.ids("test"))).tolist() == [100] * 10
    first = store.gather(np.array([0])).fields["image"][0]
    assert first.sum() == pytest.approx(store.manifest["mean"][0] * 255 * 784)
    assert first.max() > 200
    assert store.mean == pytest.approx([0.13], abs=0.01)  # MNIST's published 0.1307
    assert store.std == pytest.approx([0.31], abs=0.01)  # 0.3081


# --- image_folder


def test_flat_folder_is_unlabeled(make_store: Make, tmp_path: Path) -> None:
    for i in range(5):
        write_image(tmp_path / "raw" / f"{i}.png", i)
    store = make_store(reader="image_folder", root=str(tmp_path / "raw"))
    assert (counts(store), store.classes, store.name) == ({"unlabeled": 5}, [], "raw")
    assert store.labels(store.ids("unlabeled")).tolist() == [-1] * 5


def test_nested_folder_is_unlabeled(make_store: Make, tmp_path: Path) -> None:
    for i, name in enumerate(["2019/05/a.png", "2019/06/b.png", "2020/01/c.png", "d.png"]):
        write_image(tmp_path / name, i)
    assert counts(make_store(reader="image_folder", root=str(tmp_path))) == {"unlabeled": 4}


def test_a_flat_folder_with_two_small_folders_is_unlabeled(make_store: Make, tmp_path: Path) -> None:
    for i, name in enumerate(["old/a.png", "new/b.png", "c.png", "d.png"]):
        write_image(tmp_path / name, i)
    assert counts(make_store(reader="image_folder", root=str(tmp_path))) == {"unlabeled": 4}


def test_class_folders(make_store: Make, tmp_path: Path) -> None:
    for i in range(20):
        write_image(tmp_path / "raw" / "flowers" / str(10 - i % 2) / f"{i}.png", i)  # in one more folder, as archives unpack
    write_image(tmp_path / "raw" / "flowers" / "9" / "more" / "deep.png", 50)
    write_image(tmp_path / "raw" / "flowers" / "beside.png", 51)
    store = make_store(reader="image_folder", root=str(tmp_path / "raw"))
    assert store.classes == ["9", "10"]  # by number
    assert counts(store) == {"train": 15, "validation": 2, "test": 4, "unlabeled": 1}
    found = labels(store)
    assert (found["flowers/10/0.png"], found["flowers/9/more/deep.png"], found["flowers/beside.png"]) == ("10", "9", None)


def test_split_folders_of_class_folders(make_store: Make, tmp_path: Path) -> None:
    for i, name in enumerate(["Train/a/1.png", "Train/b/2.png", "val/a/3.png", "test/b/4.png", "extra/5.png", "unlabeled/6.png"]):
        write_image(tmp_path / name, i)
    store = make_store(reader="image_folder", root=str(tmp_path))
    assert counts(store) == {"train": 2, "validation": 1, "test": 1, "unlabeled": 2}
    assert labels(store)["test/b/4.png"] == "b"
    assert store.pretraining_ids().tolist() == np.sort(np.concatenate([store.ids("train"), store.ids("unlabeled")])).tolist()


def test_a_class_may_be_called_test(make_store: Make, tmp_path: Path) -> None:
    for i, name in enumerate(["test/1.png", "exam/2.png"]):
        write_image(tmp_path / name, i)
    assert make_store(reader="image_folder", root=str(tmp_path)).classes == ["exam", "test"]


def test_source_without_test_gets_one_and_keeps_its_validation(make_store: Make, tmp_path: Path) -> None:
    for i in range(40):
        write_image(tmp_path / ("train" if i < 30 else "valid") / "ab"[i % 2] / f"{i}.png", i)
    store = make_store(reader="image_folder", root=str(tmp_path))
    assert counts(store) == {"train": 24, "validation": 10, "test": 6}


def test_labels_from_csv(make_store: Make, tmp_path: Path) -> None:
    names = ["é.png", "x/b.png", "c.png"]  # composed in the CSV, decomposed on disk
    for i, name in enumerate(["e\u0301.png", *names[1:]]):
        write_image(tmp_path / "raw" / name, i)
    table = tmp_path / "raw" / "labels.csv"
    table.write_text("path,label,note\né.png,cat,x\n./x/b.png,NA,y\n", encoding="utf-8")
    store = make_store(reader="image_folder", root=str(tmp_path / "raw"), labels="labels.csv")
    assert store.classes == ["NA", "cat"]
    assert labels(store) == {"e\u0301.png": "cat", "x/b.png": "NA", "c.png": None, "labels.csv": None}
    source: dict[str, Any] = {"reader": "image_folder", "root": str(tmp_path / "raw"), "labels": str(table)}
    table.write_text("path,label\nc.png,cat\ngone.png,dog\n")
    assert "line 3: 'gone.png' is not in dataset.root" in refusal(make_store, **source)
    table.write_text("path,label\nc.png,cat\nc.png,dog\n")
    assert "line 3: 'c.png' is labeled twice, 'cat' and 'dog'" in refusal(make_store, **source)
    table.write_text("where,label\nc.png,cat\n")
    assert "has no column of paths; found: where, label; allowed, in any spelling: path, filepath, filename," in refusal(
        make_store, **source
    )
    table.unlink()
    assert "does not exist: a CSV with a column of paths and one of labels is needed" in refusal(make_store, **source)


def test_channels_auto(make_store: Make, tmp_path: Path) -> None:
    for i in range(3):
        write_image(tmp_path / f"{i}.png", i, channels=1)
    source: dict[str, Any] = {"reader": "image_folder", "root": str(tmp_path)}
    assert make_store(**source).channels == 1
    assert make_store(**source, channels=3).channels == 3
    write_image(tmp_path / "3.png", 3, channels=3)
    assert make_store(**source).channels == 3
    assert make_store(**source, channels=1).channels == 1
    assert "image files give 1 or 3 channels, not 4 (4)" in refusal(make_store, **source, channels=4)


def test_nothing_usable(make_store: Make, tmp_path: Path) -> None:
    source: dict[str, Any] = {"reader": "image_folder", "root": str(tmp_path / "raw")}
    assert "does not exist" in refusal(make_store, **source)
    (tmp_path / "raw").mkdir()
    assert refusal(make_store, **source).endswith("no files found")
    for i in range(3):
        (tmp_path / "raw" / f"{i}.png").write_bytes(b"")
    (tmp_path / "raw" / "a.txt").write_bytes(b"x")
    assert refusal(make_store, **source).endswith("none of 4 files is a usable image: empty file (3), not an image file: .txt (1)")
    write_image(tmp_path / "raw" / "test" / "a" / "1.png", 0)
    write_image(tmp_path / "raw" / "test" / "b" / "2.png", 1)
    for i in range(3):
        (tmp_path / "raw" / f"{i}.png").unlink()
    assert refusal(make_store, **source).endswith("all usable images are test; there is nothing to train on")


def test_raw_digest_sees_files_come_go_and_change(tmp_path: Path) -> None:
    config = DatasetConfig(reader="image_folder", root=str(tmp_path))
    write_image(tmp_path / "a.png", 0)
    before = raw_digest(config)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    assert raw_digest(config) == before
    write_image(tmp_path / "b.png", 1)
    more = raw_digest(config)
    os.utime(tmp_path / "b.png", ns=(1, 1))
    touched = raw_digest(config)
    (tmp_path / "b.png").unlink()
    assert len({before, more, touched}) == 3
    assert raw_digest(config) == before
    with pytest.raises(InputError, match=r"dataset\.root='/does/not/exist' does not exist"):
        raw_digest(DatasetConfig(reader="image_folder", root="/does/not/exist"))


# --- torchvision


def write_idx(folder: Path, images: np.ndarray, targets: np.ndarray, stem: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", targets)):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / f"{stem}-{kind}.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


@pytest.mark.parametrize("below", [".", "FashionMNIST/raw", "debian"])
def test_fashion_mnist_from_idx_files(make_store: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    train, test = np.stack([noise(i, 28, 28, 1) for i in range(6)]), np.stack([noise(9 + i, 28, 28, 1) for i in range(4)])
    write_idx(tmp_path / below, train, np.arange(6), "train")
    write_idx(tmp_path / below, test, np.arange(6, 10), "t10k")
    monkeypatch.setattr("ssl_pipelines.data.readers.torchvision.DEBIAN", tmp_path / "debian")
    store = make_store(reader="torchvision", name="FashionMNIST", root=str(tmp_path), size=28)
    assert (counts(store), store.name, store.channels) == ({"train": 6, "test": 4}, "FashionMNIST", 1)
    assert (store.classes[0], store.classes[9]) == ("T-shirt/top", "Ankle boot")
    assert np.array_equal(store.gather(store.ids("test")).fields["image"][..., 0], test)
    assert store.labels(store.ids("test")).tolist() == [6, 7, 8, 9]


def test_damaged_idx_file(make_store: Make, tmp_path: Path) -> None:
    write_idx(tmp_path, noise(0, 4, 28, 28), np.arange(4), "train")
    write_idx(tmp_path, noise(0, 4, 28, 28), np.arange(4), "t10k")
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1]))
    assert "ends early" in refusal(make_store, reader="torchvision", name="MNIST", root=str(tmp_path))


class FakeMemory:
    """As CIFAR10: holds .data, gives (PIL image, label)."""

    classes = ("cat", "dog")

    def __init__(self, root: str, train: bool, download: bool = False):
        if download:
            (Path(root) / "here").write_text("x")
        if not (Path(root) / "here").exists():
            raise RuntimeError("Dataset not found")
        self.data = np.stack([noise(i + 100 * train, 8, 8) for i in range(4)])

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        from PIL import Image

        return Image.fromarray(self.data[i]), i % 2


def test_torchvision_downloads_once_whole_or_not_at_all(make_store: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeMemory)
    source: dict[str, Any] = {"reader": "torchvision", "name": "CIFAR10", "root": str(tmp_path / "raw")}
    before = raw_digest(DatasetConfig(**source))
    store = make_store(**source)
    assert counts(store) == {"train": 4, "test": 4}
    assert store.classes == ["cat", "dog"]
    assert np.array_equal(store.gather(store.ids("test")).fields["image"][1], noise(1, 8, 8))
    assert raw_digest(DatasetConfig(**source)) == before  # else every first run would be stale at once
    stamp = (tmp_path / "raw" / "here").stat().st_mtime_ns
    make_store(**source)
    assert (tmp_path / "raw" / "here").stat().st_mtime_ns == stamp


def test_torchvision_without_network(make_store: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    class Offline(FakeMemory):
        def __init__(self, root: str, train: bool, download: bool = False):
            if download:
                (Path(root) / "half").write_text("x")
                raise OSError("Name or service not known")
            super().__init__(root, train)

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Offline)
    message = refusal(make_store, reader="torchvision", name="CIFAR10", root=str(tmp_path / "raw"))
    assert "cannot be downloaded (Name or service not known); put its files there or check the network" in message
    assert not (tmp_path / "raw").exists()


def test_torchvision_datasets_of_files_are_decoded_chunk_by_chunk(
    make_store: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(10):
        write_image(tmp_path / "eurosat" / "2750" / ("Forest" if i % 2 else "River") / f"{i}.jpg", i)
    (tmp_path / "eurosat" / "2750" / "River" / "0.jpg").write_bytes(b"no image")
    source: dict[str, Any] = {"reader": "torchvision", "name": "EuroSAT", "root": str(tmp_path)}
    store = make_store(**source)
    assert store.classes == ["Forest", "River"]
    assert sum(counts(store).values()) == 9
    bad = store.manifest[store.manifest["status"] == "unusable"]
    assert len(bad) == 1
    assert bad["reason"].iloc[0].startswith("cannot be decoded: ")
    reader = open_reader(DatasetConfig(**source))
    assert reader.parallel
    sent = [pickle.loads(pickle.dumps(chunk)) for chunk in reader.chunks(4)]  # as to another process
    assert [sum(1 for _ in chunk.read()) for chunk in sent] == [4, 4, 2]


# --- npz


def test_npz_images_labels_split(make_store: Make, tmp_path: Path) -> None:
    images = np.stack([noise(i, 8, 8, 5) for i in range(6)])
    split = np.array(["train", "train", "val", "test", "test", "unlabeled"])
    np.savez_compressed(tmp_path / "six.npz", images=images, labels=np.array([[7], [3], [7], [3], [-1], [3]]), split=split)
    store = make_store(reader="npz", root=str(tmp_path))
    assert (store.name, store.channels, store.classes) == ("six", 5, ["3", "7"])
    assert counts(store) == {"train": 2, "validation": 1, "test": 1, "unlabeled": 2}
    assert store.labels(np.arange(6)).tolist() == [1, 0, 1, 0, -1, -1]
    assert np.array_equal(store.gather(np.arange(6)).fields["image"], images)


@pytest.mark.parametrize(
    "names", [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")]
)
def test_npz_pairs(make_store: Make, tmp_path: Path, names: tuple[str, ...]) -> None:
    train, test = np.stack([noise(i, 9, 9, 1) for i in range(5)]), np.stack([noise(9, 9, 9, 1)])
    arrays = dict(zip(names, (train, np.array(["b", "a", "b", "a", "a"]), test, np.array(["a"])), strict=True))
    np.savez(tmp_path / "x.npz", **arrays)
    store = make_store(reader="npz", root=str(tmp_path / "x.npz"), size=9)
    assert (counts(store), store.channels, store.classes) == ({"train": 5, "test": 1}, 1, ["a", "b"])
    assert np.array_equal(store.gather(store.ids("train")).fields["image"][..., 0], train)


def test_npz_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", images=np.stack([noise(i, 10, 10, 1) for i in range(7)]))
    monkeypatch.setattr("ssl_pipelines.data.readers.npz.CHUNK_BYTES", 250)
    chunks = list(open_reader(DatasetConfig(reader="npz", root=str(tmp_path))).chunks(100))
    assert [len(list(chunk.read())) for chunk in chunks] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 8, 8), np.uint8)}, "holds pictures: 'images' or 'x_train' is expected"),
        ({"images": np.zeros((2, 8, 8), np.float32)}, "images is float32 [2, 8, 8]; uint8 [N, H, W] or [N, H, W, C] is read"),
        ({"images": np.zeros((2, 3, 32, 32), np.uint8)}, "looks like [N, C, H, W]"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(3, int)}, "labels has shape [3], 2 values are expected"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": np.full(2, 0.5)}, "labels is float64; integers or names are read"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": np.array([{}, {}])}, "labels cannot be read"),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(2, int), "split": np.array(["train", "tst"])},
            "split='tst' is unknown",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.array([0, 2]), "classes": np.array(["a", "b"])},
            "label 2 is none of",
        ),
    ],
)
def test_npz_refusals(make_store: Make, tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    assert message in refusal(make_store, reader="npz", root=str(tmp_path))


def test_npz_that_is_none(make_store: Make, tmp_path: Path) -> None:
    assert "holds 0 .npz files" in refusal(make_store, reader="npz", root=str(tmp_path))
    (tmp_path / "x.npz").write_bytes(b"nothing")
    assert "is not an .npz file" in refusal(make_store, reader="npz", root=str(tmp_path))


# --- parquet


def write_parquet(
    path: Path, seeds: list[int], targets: list[Any] | None = None, classes: list[str] | None = None, **options: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {} if targets is None else {"label": targets}
    columns["image"] = [{"bytes": encoded(noise(seed, 8, 8)), "path": None} for seed in seeds]
    table = pa.table(columns)
    if classes:
        features = {"image": {"_type": "Image"}, "label": {"names": classes, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, **options)


def test_parquet_shards(make_store: Make, tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [0, 1, 2, 3, 4], [0, 1, 0, 1, 1], ["cat", "dog"], row_group_size=2)
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [5, 6], [1, -1], ["cat", "dog"])
    write_parquet(tmp_path / "data" / "validation" / "0000.parquet", [7], [0], ["cat", "dog"])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [8], [1], ["cat", "dog"])
    store = make_store(reader="parquet", root=str(tmp_path))
    assert counts(store) == {"train": 6, "validation": 1, "test": 1, "unlabeled": 1}
    assert store.classes == ["cat", "dog"]
    images = dict(zip(store.manifest["path"], store.gather(np.arange(9)).fields["image"], strict=True))
    assert np.array_equal(images["train-00000-of-00002.parquet#3"], noise(3, 8, 8))
    assert labels(store)["train-00000-of-00002.parquet#4"] == "dog"


def test_parquet_without_splits_labels_or_bytes(make_store: Make, tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [0, 1])
    assert counts(make_store(reader="parquet", root=str(tmp_path / "a.parquet"))) == {"unlabeled": 2}
    table = pa.table({"img": pa.array([encoded(noise(2)), None, b"text"], pa.binary()), "label": ["x", "x", None]})
    pq.write_table(table, tmp_path / "a.parquet")
    store = make_store(reader="parquet", root=str(tmp_path))
    assert list(by_path(store, "reason").values()) == [None, "no bytes in this row", "not in an image format that is read"]
    assert store.classes == ["x"]


def test_parquet_chunks_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "a.parquet", list(range(40)))
    monkeypatch.setattr("ssl_pipelines.data.readers.parquet_shards.CHUNK_BYTES", 1000)
    chunks = list(open_reader(DatasetConfig(reader="parquet", root=str(tmp_path))).chunks(100))
    sizes = [sum(len(image.content) for image in chunk.read()) for chunk in chunks]  # type: ignore[arg-type]
    assert len(chunks) > 5
    assert max(sizes) < 2000


def test_parquet_refusals(make_store: Make, tmp_path: Path) -> None:
    source: dict[str, Any] = {"reader": "parquet", "root": str(tmp_path)}
    assert "holds no .parquet file" in refusal(make_store, **source)
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "a.parquet")
    assert "has the columns text: string, label: int64; an image column" in refusal(make_store, **source)
    pq.write_table(pa.table({"image": [b"a"], "label": [1.5]}), tmp_path / "a.parquet")
    assert "column label is double" in refusal(make_store, **source)
    write_parquet(tmp_path / "a.parquet", [0, 1], [0, 1], ["cat", "dog"])
    write_parquet(tmp_path / "b.parquet", [0, 1], [0, 1], ["dog", "cat"])
    assert "b.parquet has other class names than" in refusal(make_store, **source)
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-100])
    assert "b.parquet is not a readable Parquet file" in refusal(make_store, **source)


def test_parquet_real_photographs(make_store: Make, shared_data: Path) -> None:
    store = make_store(reader="parquet", root=str(shared_data / "clothing"), size=32)
    assert counts(store) == {"train": 3068, "validation": 341, "test": 372}
    assert np.bincount(store.labels(store.ids("test"))).tolist() == [15, 12, 72, 38, 42, 26, 73, 30, 12, 52]  # its README
    assert store.classes[9] == "t-shirt"
    assert (store.manifest["status"] == "ok").all()
    assert store.manifest["sha256"].is_unique
