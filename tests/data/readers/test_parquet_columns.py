"""Columns of labels in Parquet files: empty ones, floating point ones, files that lack them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.data.stores import Make, by_path, counts, refusal, said, write_parquet

COUNT = 20
TWO = [i % 2 for i in range(COUNT)]


@pytest.fixture(autouse=True)
def _lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ssl_pipelines")


def test_a_split_whose_labels_are_all_null_is_unlabeled(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("label", "target"):
        write_parquet(tmp_path / name / "train.parquet", range(COUNT), **{name: TWO})
        for nothing in (pa.nulls(COUNT), pa.array([float("nan")] * COUNT)):
            write_parquet(tmp_path / name / "test.parquet", range(50, 50 + COUNT), **{name: nothing})
            store = make_store(reader="parquet", root=str(tmp_path / name))
            assert (store.classes, counts(store)) == (["0", "1"], {"train": 16, "test": 4, "unlabeled": COUNT})
            assert said(caplog)[1] == [
                "20 images of the source's test split have no label: they are pretrained on as unlabeled images"
            ]
    (tmp_path / "label/train.parquet").unlink()
    write_parquet(tmp_path / "label/test.parquet", range(COUNT), label=pa.nulls(COUNT))
    make_store(reader="parquet", root=str(tmp_path / "label/test.parquet"))
    assert "no labels are read: column label is empty" in said(caplog)[1]


@pytest.mark.parametrize("wanted", ["label", "kind"])
def test_a_file_without_the_column_of_labels_is_unlabeled(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, wanted: str
) -> None:
    write_parquet(tmp_path / "a.parquet", range(COUNT), **{wanted: TWO})
    write_parquet(tmp_path / "b.parquet", range(50, 50 + COUNT), other=TWO)
    store = make_store(reader="parquet", root=str(tmp_path), label_column=wanted)
    assert (store.classes, len(store.ids("unlabeled"))) == (["0", "1"], COUNT)
    assert said(caplog)[1] == [f"column {wanted} is missing in 1 of 2 files, whose images are unlabeled: b.parquet"]
    message = refusal(make_store, reader="parquet", root=str(tmp_path), label_column="none")
    root = str(tmp_path)
    assert message == f"dataset.label_column='none' is no column of dataset.root={root!r}; found: image, {wanted}, other"


@pytest.mark.parametrize("name", ["label", "target"])
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_whole_floats_are_labels_and_nan_is_none(make_store: Make, tmp_path: Path, name: str, kind: pa.DataType) -> None:
    values = [float("nan"), None, *map(float, TWO[2:])]
    write_parquet(tmp_path / "a.parquet", range(COUNT), **{name: pa.array(values, kind)})
    store = make_store(reader="parquet", root=str(tmp_path))
    assert (store.classes, len(store.ids("unlabeled"))) == (["0", "1"], 2)
    assert by_path(store, "label")["a.parquet#3"] == 1


def test_whole_numbers_go_before_floats(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_parquet(tmp_path / "a.parquet", range(COUNT), target=[float(i) for i in TWO], category=TWO, cls=[None] * COUNT)
    make_store(reader="parquet", root=str(tmp_path))
    assert "labels from column category" in said(caplog)[0]
