"""Arrays by other names, several to choose from, channels first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.image_samples import noise
from tests.data.stores import Make, counts, refusal, said

X = np.stack([noise(i, 12, 12) for i in range(20)])
Y = np.arange(20) % 2


@pytest.fixture(autouse=True)
def _lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ssl_pipelines")


def ingested(make_store: Make, tmp_path: Path, arrays: dict[str, Any], **dataset: Any) -> Any:
    np.savez(tmp_path / "x.npz", **arrays)
    return make_store(reader="npz", root=str(tmp_path / "x.npz"), **dataset)


@pytest.mark.parametrize(
    ("arrays", "splits", "origin"),
    [
        ({"images": X, "y": Y}, {"train": 14, "validation": 2, "test": 4}, "y"),
        ({"images": X, "label": Y}, {"train": 14, "validation": 2, "test": 4}, "label"),
        ({"X": X, "Target": Y}, {"train": 14, "validation": 2, "test": 4}, "Target"),
        ({"data": X, "class": Y, "ids": np.arange(20) + 9}, {"train": 14, "validation": 2, "test": 4}, "class"),
        ({"X_train": X, "Y_train": Y, "X_test": X[:6], "Y_test": Y[:6]}, {"train": 20, "test": 6}, "Y_test, Y_train"),
        ({"Train_Images": X, "Train_Labels": Y}, {"train": 16, "test": 4}, "Train_Labels"),
        ({"x_train": X, "y_train_fine": Y, "y_train_coarse": Y}, {"train": 16, "test": 4}, "y_train_fine"),
        ({"xtrain": X, "ytrain": Y, "xval": X[:4], "yval": Y[:4]}, {"train": 16, "validation": 4, "test": 4}, "ytrain, yval"),
        ({"trainX": X, "trainY": Y, "testX": X[:6], "testY": Y[:6]}, {"train": 20, "test": 6}, "testY, trainY"),
        ({"train_data": X, "train_target": Y}, {"train": 16, "test": 4}, "train_target"),
        ({"images": X, "target": Y.astype(np.float16)}, {"train": 14, "validation": 2, "test": 4}, "target"),
        (
            {"x_train": X, "y_train": Y.astype(np.float32), "x_eval": X[:6], "y_eval": Y[:6]},
            {"train": 20, "test": 6},
            "y_eval, y_train",
        ),
    ],
)
def test_arrays_by_other_names(
    make_store: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    arrays: dict[str, Any],
    splits: dict[str, int],
    origin: str,
) -> None:
    store = ingested(make_store, tmp_path, arrays)
    assert (store.classes, counts(store)) == (["0", "1"], splits)
    line, warnings = said(caplog)
    assert f"labels from array {origin}, " in line
    assert warnings == []


@pytest.mark.parametrize(
    ("arrays", "warning"),
    [
        ({"images": X, "kind": Y}, "no labels are read; other arrays: kind; dataset.label_column names the one that holds them"),
        (
            {"images": X, "y": Y, "target": Y},
            "arrays that might hold labels and are not read: y (int64 [20]), target (int64 [20]); dataset.label_column names the one",
        ),
        (
            {"images": X, "y": np.eye(20)},
            "arrays that might hold labels and are not read: y (float64 [20, 20]); dataset.label_column",
        ),
        (
            {"images": X, "y": Y / 3},
            "arrays that might hold labels and are not read: y (float64 [20]); dataset.label_column",
        ),
    ],
)
def test_arrays_that_may_be_labels_are_named(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, arrays: dict[str, Any], warning: str
) -> None:
    assert counts(ingested(make_store, tmp_path, arrays)) == {"unlabeled": 20}
    [line] = said(caplog)[1]
    assert line.startswith(warning)


def test_label_column_names_an_array(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ingested(make_store, tmp_path, {"images": X, "labels": Y, "kind": Y % 1}, label_column="kind")
    assert store.classes == ["0"]
    assert said(caplog)[0].endswith("; not read: labels")
    pairs = {"x_train": X, "y_train_fine": Y, "y_train_coarse": Y * 0 + 7, "x_test": X[:6], "y_test_fine": Y[:6]}
    store = ingested(make_store, tmp_path, {**pairs, "y_test_coarse": Y[:6] * 0 + 7}, label_column="y_train_coarse")
    assert (store.classes, counts(store)) == (["7"], {"train": 20, "test": 6})  # each split has its own
    said(caplog)
    assert counts(ingested(make_store, tmp_path, pairs, label_column="y_train_coarse")) == {"train": 16, "test": 4, "unlabeled": 6}
    assert "6 images of the source's test split have no label" in said(caplog)[1][0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": X, "labels": Y}, "dataset.label_column='kind' is no array of {}; found: images, labels"),
        ({"images": X, "kind": Y / 3}, "kind is float64; integers or names are read, no continuous numbers"),
        ({"images": X, "kind": np.where(Y, np.inf, 0)}, "kind is float64; integers or names are read, no continuous numbers"),
        (
            {"images": X, "kind": np.eye(20, 4, dtype=int)},
            "kind is int64 [20, 4]: several labels an image; one label an image is read",
        ),
        ({"images": X, "kind": Y[:7]}, "kind has shape [7], 20 values are expected"),
        ({"images": X, "kind": np.array(["a", "b"] * 9 + ["a,b", "a"])}, "kind holds several labels an image ('a,b')"),
    ],
)
def test_label_column_refusals(make_store: Make, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, **arrays)
    assert message.format(file) in refusal(make_store, reader="npz", root=str(file), label_column="kind")


def test_whole_floats_are_labels_and_nan_is_none(make_store: Make, tmp_path: Path) -> None:
    store = ingested(make_store, tmp_path, {"images": X, "labels": np.where(np.arange(20) < 4, np.nan, Y)})
    assert (store.classes, len(store.ids("unlabeled"))) == (["0", "1"], 4)
    assert store.manifest["label"].dropna().tolist() == Y[4:].tolist()


def test_split_arrays(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    split = np.array(["Test set"] * 6 + ["Training set"] * 14)
    assert counts(ingested(make_store, tmp_path, {"images": X, "labels": Y, "subset": split})) == {"train": 14, "test": 6}
    assert "(splits from array subset: train 14, test 6)" in said(caplog)[0]
    store = ingested(make_store, tmp_path, {"images": X, "labels": Y, "partition": Y, "is_test": Y, "fold": Y})
    assert counts(store) == {"train": 14, "validation": 2, "test": 4}
    assert said(caplog)[1] == [
        f"{tmp_path / 'x.npz'}: partition is not used for splits: it is int64 [20]",
        "arrays not read, though they look like splits: is_test, fold",
    ]
    assert counts(ingested(make_store, tmp_path, {"images": X, "labels": Y, "split": np.array(["train"] * 20)})) == {
        "train": 16,
        "test": 4,
    }


@pytest.mark.parametrize(
    "shape", [(12, 64, 64), (13, 32, 32), (2, 32, 32), (10, 48, 48), (12, 48, 64), (6, 64, 48), (64, 128, 128)]
)
def test_channels_first_is_refused_for_any_number_of_bands(make_store: Make, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((4, *shape), np.uint8))
    message = refusal(make_store, reader="npz", root=str(tmp_path))
    assert f"images is uint8 {[4, *shape]}, which looks like [N, C, H, W]; [N, H, W, C] is read" in message


@pytest.mark.parametrize("shape", [(64, 64, 12), (9, 9, 30), (16, 16, 16), (40, 20, 10), (8, 30, 3), (2, 8, 2), (48, 13, 13)])
def test_channels_last_is_read(make_store: Make, tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    assert ingested(make_store, tmp_path, {"images": images}).channels == shape[2]


def test_arrays_with_usual_names_go_before_others(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ingested(make_store, tmp_path, {"x_train": X, "y_train": Y, "train_data": X[:3], "train_masks": X[..., 0]})
    assert counts(store) == {"train": 16, "test": 4}
    assert said(caplog)[0].endswith("; not read: train_data, train_masks")


def test_an_array_that_cannot_be_read_harms_no_other(make_store: Make, tmp_path: Path) -> None:
    store = ingested(make_store, tmp_path, {"images": X, "labels": Y, "note": np.array([{}, {}])})
    assert store.classes == ["0", "1"]
