"""Folders as they are published: splits under many names, classes beside folders that are none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.data.image_samples import write_image
from tests.data.stores import Make, by_path, counts, labels, said


@pytest.fixture(autouse=True)
def _lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ssl_pipelines")


def write(root: Path, folders: dict[str, int]) -> Path:
    """So many images, all different, in each folder."""
    for seed, (folder, count) in enumerate(folders.items()):
        for i in range(count):
            write_image(root / folder / f"{i}.png", 1000 * seed + i)
    return root


def pairs(tops: Iterable[str], count: int = 3) -> dict[str, int]:
    return {f"{top}/{name}": count for top in tops for name in ("cat", "dog")}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),  # as archives unpack
        ("Final_Training/Images", "Final_Test/Images"),
        ("train", "eval"),
        ("TrainingData", "TestData"),
    ],
)
def test_split_folders_by_other_names(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, train: str, test: str
) -> None:
    store = make_store(reader="image_folder", root=str(write(tmp_path, pairs([train, test]))))
    assert (counts(store), store.classes) == ({"train": 6, "test": 6}, ["cat", "dog"])
    assert set(by_path(store, "split").items()) >= {(f"{train}/cat/0.png", "train"), (f"{test}/dog/2.png", "test")}
    line, warnings = said(caplog)
    assert "(splits from folders: train 6, test 6)" in line
    assert warnings == []


def test_evaluation_folder_beside_a_test_folder_is_validation(make_store: Make, tmp_path: Path) -> None:
    store = make_store(reader="image_folder", root=str(write(tmp_path, pairs(["train", "eval", "test"]))))
    assert counts(store) == {"train": 6, "validation": 6, "test": 6}


def test_folders_beside_the_splits_are_named(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {**pairs(["seg_train", "seg_test"]), "seg_pred": 4, ".": 1})
    assert counts(make_store(reader="image_folder", root=str(root))) == {"train": 6, "test": 6, "unlabeled": 5}
    outside = "outside the splits (seg_test, seg_train), read as unlabeled images: 1 files in no folder, seg_pred (4)"
    assert said(caplog)[1] == [outside]


def test_test_images_without_labels_are_said_to_train(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {**pairs(["Final_Training/Images"], 10), "Final_Test/Images": 4})
    assert counts(make_store(reader="image_folder", root=str(root))) == {"train": 16, "test": 4, "unlabeled": 4}
    line, warnings = said(caplog)
    assert warnings == ["4 images of the source's test split have no label: they are pretrained on as unlabeled images"]
    assert "test 4" in line


@pytest.mark.parametrize("names", [("test_tube", "beaker", "flask"), ("train_station", "test_track", "harbor")])
def test_classes_that_look_like_splits_stay_classes(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, ...]
) -> None:
    store = make_store(reader="image_folder", root=str(write(tmp_path, dict.fromkeys(names, 10))))
    assert (store.classes, counts(store)) == (sorted(names), {"train": 21, "validation": 3, "test": 6})
    odd = ", ".join(sorted(name for name in names if name.startswith("t")))
    assert said(caplog)[1] == [f"names that look like splits and are not read as splits: {odd}"]


def test_train_may_be_a_vehicle(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(reader="image_folder", root=str(write(tmp_path, {"bus": 10, "car": 10, "train": 10})))
    assert store.classes == ["bus", "car", "train"]
    assert counts(store) == {"train": 21, "validation": 3, "test": 6}
    assert said(caplog)[1] == ["names that look like splits and are not read as splits: train"]


def test_splits_within_classes(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {f"{name}/{split}": 4 for name in ("cat", "dog") for split in ("train", "test")})
    store = make_store(reader="image_folder", root=str(root))
    assert (store.classes, counts(store)) == (["cat", "dog"], {"train": 8, "test": 8})
    assert (by_path(store, "split")["dog/test/0.png"], labels(store)["dog/test/0.png"]) == ("test", "dog")
    assert said(caplog)[1] == []
    write_image(tmp_path / "cat" / "0.png", 99)
    write_image(tmp_path / "dog" / "0.png", 98)
    make_store(reader="image_folder", root=str(root))
    warnings = said(caplog)[1]
    assert "names that look like splits and are not read as splits: .../test, .../train" in warnings


def test_images_and_masks_are_no_classes(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {f"{kind}/{split}": 4 for kind in ("images", "masks") for split in ("train", "test")})
    store = make_store(reader="image_folder", root=str(root))
    assert (store.classes, counts(store)) == ([], {"unlabeled": 16})
    warnings = said(caplog)[1]
    assert warnings[0] == "names that look like splits and are not read as splits: .../test, .../train"
    assert warnings[1].startswith(
        "folders that are read as no class, their images are unlabeled: images (8), masks (8); such names are no classes"
    )


@pytest.mark.parametrize("within", ["", "train/", "val/"])
@pytest.mark.parametrize("kinds", [("images", "masks"), ("image", "depth", "gt_masks")])
def test_kinds_of_files_are_no_classes(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, within: str, kinds: tuple[str, ...]
) -> None:
    other = "val/" if within == "train/" else "train/"
    folders = [f"{top}{kind}" for top in ([within, other] if within else [""]) for kind in kinds]
    store = make_store(reader="image_folder", root=str(write(tmp_path, dict.fromkeys(folders, 4))))
    assert (store.classes, counts(store)) == ([], {"unlabeled": 4 * len(folders)})
    named = ", ".join(f"{folder} (4)" for folder in sorted(folders)[:5]) + (" and 1 more" if len(folders) > 5 else "")
    line = f"folders that are read as no class, their images are unlabeled: {named}; such names are no classes, "
    assert f"{line}dataset.labels gives labels" in said(caplog)[1]


def test_masks_beside_other_folders_and_numbers_are_classes(make_store: Make, tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"masks": 4, "gloves": 4})
    assert make_store(reader="image_folder", root=str(root)).classes == ["gloves", "masks"]
    root = write(tmp_path / "b", {f"{i}/{split}": 4 for i in range(2) for split in ("train", "test")})
    assert make_store(reader="image_folder", root=str(root)).classes == ["0", "1"]


def test_a_class_in_deeper_folders_leaves_the_others_theirs(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(reader="image_folder", root=str(write(tmp_path, {"a": 20, "b": 20, "c/2023/05": 20})))
    assert (store.classes, counts(store)) == (["a", "b", "c"], {"train": 42, "validation": 6, "test": 12})
    assert said(caplog)[1] == ["classes whose images all lie in deeper folders: c"]


def test_a_stray_figure_leaves_the_classes_theirs(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = make_store(reader="image_folder", root=str(write(tmp_path, {"a": 30, "b": 30, "docs/figures": 1})))
    assert (store.classes, counts(store)) == (["a", "b"], {"train": 42, "validation": 6, "test": 12, "unlabeled": 1})
    assert said(caplog)[1] == ["folders that are read as no class, their images are unlabeled: docs (1)"]


def test_a_stray_folder_within_a_split(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {**pairs(["train"], 20), **pairs(["test"]), "train/notes/more": 1})
    store = make_store(reader="image_folder", root=str(root))
    assert (store.classes, counts(store)) == (["cat", "dog"], {"train": 40, "test": 6, "unlabeled": 1})
    assert said(caplog)[1] == ["folders that are read as no class, their images are unlabeled: train/notes (1)"]


def test_years_of_photos_with_two_small_folders_stay_unlabeled(
    make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write(tmp_path, {"2019/05": 12, "2020/01": 12, "misc": 2, "new": 2})
    store = make_store(reader="image_folder", root=str(root))
    assert (store.classes, counts(store)) == ([], {"unlabeled": 28})
    assert said(caplog)[1][0].startswith(
        "folders that are read as no class, their images are unlabeled: 2019 (12), 2020 (12), misc (2)"
    )


def test_file_names_that_say_splits_are_named(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(20):
        write_image(tmp_path / "ab"[i % 2] / f"{'test' if i < 6 else 'train'}_{i}.png", i)
    assert counts(make_store(reader="image_folder", root=str(tmp_path))) == {"train": 14, "validation": 2, "test": 4}
    assert said(caplog)[1] == ["names that look like splits and are not read as splits: test_5.png, train_9.png"]


def test_classes_below_a_lone_folder_of_a_split(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {f"train/bottle/{name}": 10 for name in ("good", "broken")})
    store = make_store(reader="image_folder", root=str(root))
    assert (store.classes, counts(store)) == (["broken", "good"], {"train": 16, "test": 4})
    assert said(caplog)[1] == ["classes are the folders below train/bottle"]


def test_a_csv_that_nobody_named_is_mentioned(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {"images": 3})
    (tmp_path / "metadata.csv").write_text("file_name,label\n")
    make_store(reader="image_folder", root=str(tmp_path))
    assert said(caplog)[1] == ["no CSV is read unless dataset.labels names it: metadata.csv"]
