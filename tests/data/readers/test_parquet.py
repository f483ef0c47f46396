"""Parquet files as they are published: splits in names and columns, labels by other names, images in files beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import DatasetConfig, raw_digest
from ssl_pipelines.data.readers import open_reader
from ssl_pipelines.inference.sources import open_source
from tests.data.image_samples import encoded, noise, write_image
from tests.data.stores import Make, by_path, counts, refusal, said, write_parquet

COUNT = 20
TWO = [i % 2 for i in range(COUNT)]


@pytest.fixture(autouse=True)
def _lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ssl_pipelines")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("cifar10-train", "cifar10-test"),
        ("mnist_train", "mnist_test"),
        ("my.train", "my.test"),
        ("0000_train", "0000_test"),
        ("MnistTrain", "MnistTest"),
        ("mnist_train-00000-of-00001-0a1b2c3d4e5f", "mnist_test-00000-of-00001-f0e1d2c3b4a5"),
        ("fine/seg_train/0000", "fine/seg_test/0000"),
        ("train-00000-of-00001", "eval-00000-of-00001"),
    ],
)
def test_splits_in_names(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, train: str, test: str) -> None:
    write_parquet(tmp_path / f"{train}.parquet", range(COUNT), label=TWO)
    write_parquet(tmp_path / f"{test}.parquet", range(100, 100 + COUNT), label=TWO)
    store = make_store(reader="parquet", root=str(tmp_path))
    assert counts(store) == {"train": 20, "test": 20}
    assert by_path(store, "split")[f"{test}.parquet#3"] == "test"
    line, warnings = said(caplog)
    assert "(splits from file names: train 20, test 20)" in line
    assert warnings == []


@pytest.mark.parametrize("name", ["crash_test", "mnist_test", "train_test_split"])
def test_a_lone_name_that_looks_like_a_split_is_said(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    write_parquet(tmp_path / f"x_{name}.parquet", range(COUNT), label=TWO)
    assert counts(make_store(reader="parquet", root=str(tmp_path))) == {"train": 14, "validation": 2, "test": 4}
    assert said(caplog)[1] == [f"names that look like splits and are not used for splits: x_{name}.parquet"]


@pytest.mark.parametrize("column", ["split", "Split", "subset"])
def test_a_split_column_is_used(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str) -> None:
    split = pa.array(["test" if i < 6 else "train" for i in range(COUNT)]).dictionary_encode()
    write_parquet(tmp_path / "all.parquet", range(COUNT), label=TWO, **{column: split})
    store = make_store(reader="parquet", root=str(tmp_path / "all.parquet"))
    assert counts(store) == {"train": 14, "test": 6}
    assert [by_path(store, "split")[f"all.parquet#{i}"] for i in (5, 6)] == ["test", "train"]
    line, warnings = said(caplog)
    assert f"(splits from column {column}: train 14, test 6)" in line
    assert warnings == []


def test_split_columns_that_are_not_used_are_named(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = f"dataset.root={str(tmp_path)!r}: "
    write_parquet(tmp_path / "all.parquet", range(COUNT), label=TWO, partition=TWO, fold=TWO)
    assert counts(make_store(reader="parquet", root=str(tmp_path))) == {"train": 14, "validation": 2, "test": 4}
    line, warnings = said(caplog)
    partition = root + "partition is not used for splits: '0', '1' is no name of a split"
    assert warnings == [partition, root + "not read, though it looks like splits: fold"]
    assert line.endswith("; not read: partition, fold")
    (tmp_path / "all.parquet").unlink()
    split = ["train" if i % 2 else "test" for i in range(COUNT)]
    write_parquet(tmp_path / "train.parquet", range(COUNT), label=TWO, split=split)
    write_parquet(tmp_path / "test.parquet", range(50, 50 + COUNT), label=TWO, split=split)
    assert counts(make_store(reader="parquet", root=str(tmp_path))) == {"train": 20, "test": 20}
    assert said(caplog)[1] == [root + "split is not used for splits: the names of the files say them"]
    write_parquet(tmp_path / "test.parquet", range(COUNT), label=TWO)
    (tmp_path / "train.parquet").rename(tmp_path / "one.parquet")
    (tmp_path / "test.parquet").rename(tmp_path / "two.parquet")
    make_store(reader="parquet", root=str(tmp_path))
    assert said(caplog)[1] == [root + "split is not used for splits: not all files have it"]


@pytest.mark.parametrize("name", ["cls", "category", "class", "target", "Class Label", "labels_id", "is_cat"])
def test_labels_by_other_names(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    write_parquet(tmp_path / "train.parquet", range(COUNT), **{name: TWO})
    store = make_store(reader="parquet", root=str(tmp_path))
    line, warnings = said(caplog)
    if name != "is_cat":
        assert (store.classes, warnings) == (["0", "1"], [])
        assert f"labels from column {name}" in line
        return
    assert counts(store) == {"unlabeled": COUNT}
    assert warnings == ["no labels are read; other columns: is_cat; dataset.label_column names the one that holds them"]
    store = make_store(reader="parquet", root=str(tmp_path), label_column=name)
    assert counts(store) == {"train": 16, "test": 4}


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"class": TWO, "category": TWO}, "class (int64), category (int64)"),
        (
            {"target": [i / 7 for i in range(COUNT)]},
            "target (is double: continuous numbers; whole numbers or names are read, one an image)",
        ),
        ({"target": [None] * COUNT, "cls": [None] * COUNT}, "target (null), cls (null)"),
        ({"target": list(range(COUNT))}, "target (holds 20 different values in 20 rows)"),
        ({"category": [[0, 1]] * COUNT}, "category (list<element: int64>)"),
    ],
)
def test_columns_that_may_be_labels_are_named(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, columns: dict[str, Any], named: str
) -> None:
    write_parquet(tmp_path / "a.parquet", range(COUNT), **columns)
    assert counts(make_store(reader="parquet", root=str(tmp_path))) == {"unlabeled": COUNT}
    said_of_them = f"no labels are read; columns that might hold them: {named}; dataset.label_column names the one to read"
    assert said(caplog)[1] == [said_of_them]


def test_columns_beside_the_label_are_named_with_what_was_ingested(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_parquet(tmp_path / "a.parquet", range(COUNT), fine_label=TWO, coarse_label=[0] * COUNT, caption=["x"] * COUNT)
    store = make_store(reader="parquet", root=str(tmp_path))
    line, warnings = said(caplog)
    assert (line.endswith("; not read: coarse_label, caption"), warnings, store.classes) == (True, [], ["0", "1"])
    assert make_store(reader="parquet", root=str(tmp_path), label_column="coarse_label").classes == ["0"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"kind": TWO}, "dataset.label_column='what' is no column of {}; found: image, kind"),
        ({"what": [i / 7 for i in range(COUNT)]}, "column what is double: continuous numbers; whole numbers or names are read"),
        (
            {"what": [[0, 1]] * COUNT},
            "column what is list<element: int64>: several labels an image; whole numbers or names are read",
        ),
        ({"what": [f"{i}.25" for i in range(COUNT)]}, "column what holds continuous numbers (0.25)"),
        ({"what": ["a", "b"] * 9 + ["a|b", "b|a"]}, "column what holds several labels an image ('a|b')"),
    ],
)
def test_label_column_refusals(make_store: Make, tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    file = tmp_path / "a.parquet"
    write_parquet(file, range(COUNT), **columns)
    assert message.format(file) in refusal(make_store, reader="parquet", root=str(tmp_path), label_column="what")


def test_rows_with_a_blank_split_are_said(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    split = [None if i % 4 == 0 else "train" for i in range(COUNT)]
    write_parquet(tmp_path / "a.parquet", range(COUNT), label=TWO, split=split)
    make_store(reader="parquet", root=str(tmp_path))
    assert said(caplog)[1][0].endswith("split is not used for splits: it says 'train' in 15 of 20 rows and is blank in the others")


def write_named(root: Path, kind: str) -> None:
    """A Parquet file that names images in the folder images/ beside it."""
    for i in range(COUNT):
        write_image(root / "images" / f"{i}.png", i)
    paths = [f"images/{i}.png" for i in range(COUNT)]
    structs = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = {
        "struct": pa.array([{"bytes": None, "path": path} for path in paths], structs),
        "text": pa.array(paths),
        "absolute": pa.array([str(root / path) for path in paths]),
    }[kind]
    pq.write_table(pa.table({"image" if kind == "struct" else "file_name": column, "label": TWO}), root / "train.parquet")


@pytest.mark.parametrize("kind", ["struct", "text", "absolute"])
def test_images_in_files_beside(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    root = tmp_path / "raw"
    write_named(root, kind)
    store = make_store(reader="parquet", root=str(root), size=12)
    assert (store.classes, counts(store)) == (["0", "1"], {"train": 16, "test": 4})
    assert (store.gather(store.ids("train")[:1]).fields["image"][0] == noise(int(store.ids("train")[0]))).all()
    assert said(caplog)[1] == ["images are read from the files that the Parquet files name"]
    before = raw_digest(DatasetConfig(reader="parquet", root=str(root)))
    write_image(root / "images" / "3.png", 77)
    assert raw_digest(DatasetConfig(reader="parquet", root=str(root))) != before
    path = str(root / "images/3.png") if kind == "absolute" else "images/3.png"
    assert open_source("embed.source", root / "train.parquet", 10**6).image(3, path) == encoded(noise(77))


def test_files_that_cannot_be_read_are_rows_with_a_reason(make_store: Make, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    write_named(root, "struct")
    write_image(tmp_path / "secret.png", 5)
    rows = [(None, "../secret.png"), (None, str(tmp_path / "secret.png")), (None, "gone.png"), (None, None), (None, "a\0b")]
    rows += [(encoded(noise(50)), "../secret.png"), (None, "images/1.png")]
    structs = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    column = pa.array([{"bytes": content, "path": path} for content, path in rows], structs)
    pq.write_table(pa.table({"image": column}), root / "train.parquet")
    store = make_store(reader="parquet", root=str(root))
    lead = "no bytes in this row"
    assert store.manifest["reason"].fillna("ok").str.removeprefix(lead).tolist() == [
        ", and the file that it names lies outside dataset.root",
        ", and the file that it names lies outside dataset.root",
        ", and the file that it names is not there",
        "",
        ", and the file that it names cannot be read: embedded null byte",
        "ok",
        "ok",
    ]


def test_an_embedding_asks_for_no_labels(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", range(3), label=["a", "b", "a|b"])
    source = open_source("embed.source", tmp_path / "a.parquet", 10**6)
    assert [len(list(chunk.read())) for chunk in source.chunks(8)] == [3]
    assert source.image(1, "a.parquet#1") == encoded(noise(1, 8, 8))
    with pytest.raises(InputError, match="several labels an image"):
        list(open_reader(DatasetConfig(reader="parquet", root=str(tmp_path))).chunks(8))
