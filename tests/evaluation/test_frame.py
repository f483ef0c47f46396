"""Roles of the labeled images, and what is said where there are none."""

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.frame import Frame, hold_out
from tests.evaluation.evaluation_samples import blobs, make_store, write_store


def frame(folder, counts, **kwargs):
    return Frame.of(Store.open(make_store(folder, counts, **kwargs)), 0, "linear_eval")


def test_the_stores_own_validation_is_used(tmp_path):
    found = frame(tmp_path / "s", {"train": 30, "validation": 12, "test": 9, "unlabeled": 6})
    assert found.own_validation
    for ids, split in ((found.fit, "train"), (found.validation, "validation"), (found.test, "test")):
        assert np.array_equal(ids, found.store.ids(split))
    assert np.array_equal(found.both, found.store.ids("train", "validation"))


def test_else_a_stratified_fifth_of_train_is_held_out(tmp_path):
    found = frame(tmp_path / "s", {"train": 90, "test": 9})
    assert not found.own_validation
    assert np.bincount(found.store.labels(found.validation)).tolist() == [6, 6, 6]
    assert np.array_equal(found.both, found.store.ids("train"))
    assert not set(found.fit) & set(found.validation)
    again, other = (Frame.of(found.store, seed, "linear_eval") for seed in (0, 1))
    assert np.array_equal(again.validation, found.validation)
    assert not np.array_equal(other.validation, found.validation)


def test_images_without_a_label_play_no_role(tmp_path):
    folder = make_store(tmp_path / "s", {"train": 60, "validation": 12, "test": 9})
    table = pd.read_parquet(folder / "manifest.parquet")
    mute = table.index[table["split"] != "unlabeled"][::4]
    table.loc[mute, "label"] = pd.NA
    table.to_parquet(folder / "manifest.parquet", index=False)
    found = Frame.of(Store.open(folder), 0, "linear_eval")
    for ids in (found.fit, found.validation, found.test):
        assert len(ids)
        assert not set(ids) & set(mute)


def test_hold_out_never_takes_the_last_of_a_class():
    labels = np.array([0] * 10 + [1] * 2 + [2])
    held = hold_out(labels, np.random.default_rng(0))
    assert [int(held[labels == k].sum()) for k in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("counts", "classes", "words"),
    [
        ({"unlabeled": 20}, [], "no training image of 'blobs' has one"),
        ({"train": 20}, None, "needs labeled test images"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, counts, classes, words):
    with pytest.raises(NotApplicable) as caught:
        frame(tmp_path / "s", counts, **({} if classes is None else {"classes": classes}))
    assert words in str(caught.value)
    assert "linear_eval" in str(caught.value)
    assert "dataset.labels=" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_class_is_not_enough(tmp_path):
    labels = np.zeros(20, dtype=int)
    splits = np.array(["train"] * 14 + ["test"] * 6)
    folder = write_store(tmp_path / "s", labels, splits, blobs(labels, np.random.default_rng(0)))
    with pytest.raises(NotApplicable, match="at least 2 classes"):
        Frame.of(Store.open(folder), 0, "knn_eval")
