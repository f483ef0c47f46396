"""The CSV of labels: columns as people name them, paths as programs write them, splits, and labels that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.image_samples import write_image
from tests.data.stores import Make, by_path, counts, labels, refusal, said

COUNT = 40


@pytest.fixture
def root(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    caplog.set_level("INFO", "ssl_pipelines")
    for i in range(COUNT):
        write_image(tmp_path / "raw" / f"{i}.png", i)
    return tmp_path / "raw"


def write(root: Path, header: str, *values: str) -> str:
    """A CSV with the path of each image first, and values[j] with {i}, {kind} and {split} filled in."""
    rows = [
        ",".join(
            value.format(i=i, root=root, kind="cat" if i % 2 else "dog", split="test" if i < 12 else "train") for value in values
        )
        for i in range(COUNT)
    ]
    file = root.parent / "labels.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return str(file)


@pytest.mark.parametrize("path", ["path", "file_name", "filename", "Path", "File Name", "image", "img_path", "ImageFile"])
@pytest.mark.parametrize("label", ["label", "Label", "class", "category", "target"])
def test_columns_by_other_names(make_store: Make, root: Path, caplog: pytest.LogCaptureFixture, path: str, label: str) -> None:
    store = make_store(reader="image_folder", root=str(root), labels=write(root, f"{path},{label}", "{i}.png", "{kind}"))
    assert (store.classes, counts(store)) == (["cat", "dog"], {"train": 28, "validation": 4, "test": 8})
    assert labels(store)["3.png"] == "cat"
    assert (f"labels from column {label}" in said(caplog)[0]) == (label != "label")


@pytest.mark.parametrize("path", ["{root}/{i}.png", "{root}/../raw/{i}.png", "raw/{i}.png", ".\\{i}.png"])
def test_paths_by_other_ways(make_store: Make, root: Path, path: str) -> None:
    store = make_store(reader="image_folder", root=str(root), labels=write(root, "path,label", path, "{kind}"))
    assert sum(value is not None for value in labels(store).values()) == COUNT


def test_paths_through_a_linked_root(make_store: Make, root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    table = write(root, "path,label", "{root}/{i}.png", "{kind}")
    store = make_store(reader="image_folder", root=str(root.parent / "link"), labels=table)
    assert labels(store)["3.png"] == "cat"


def test_the_column_that_names_the_files_is_the_path(make_store: Make, root: Path) -> None:
    table = write(root, "path,filename,label", "/old/place", "{i}.png", "{kind}")
    assert labels(make_store(reader="image_folder", root=str(root), labels=table))["3.png"] == "cat"
    table = write(root, "path,label", "/old/place/{i}.png", "{kind}")
    message = refusal(make_store, reader="image_folder", root=str(root), labels=table)
    assert f"labels.csv' line 2: '/old/place/0.png' is outside dataset.root={str(root)!r}" in message


def test_a_split_column_is_used(make_store: Make, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = write(root, "path,label,split,author", "{i}.png", "{kind}", "{split}", "x")
    store = make_store(reader="image_folder", root=str(root), labels=table)
    assert counts(store) == {"train": 28, "test": 12}
    assert {path for path, split in by_path(store, "split").items() if split == "test"} == {f"{i}.png" for i in range(12)}
    line, warnings = said(caplog)
    assert "(splits from column split: train 28, test 12)" in line
    assert line.endswith("; not read: author")
    assert warnings == []


def test_a_split_column_goes_before_the_folders(make_store: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ssl_pipelines")
    for i in range(COUNT):
        write_image(tmp_path / "raw" / ("train" if i % 4 else "test") / f"{i}.png", i)
    rows = [f"{'train' if i % 4 else 'test'}/{i}.png,{'ab'[i % 2]},{'dev' if i < 10 else 'train'}" for i in range(COUNT)]
    (tmp_path / "raw" / "t.csv").write_text("\n".join(["path,label,partition", *rows]))
    store = make_store(reader="image_folder", root=str(tmp_path / "raw"), labels="t.csv")
    assert counts(store) == {"train": 24, "validation": 10, "test": 6}  # test drawn: the table has none
    line, warnings = said(caplog)
    assert "splits from column partition: train 24, validation 10, test 6; test drawn from train" in line
    assert warnings == ["the folders' splits give way to those of dataset.labels"]


@pytest.mark.parametrize(
    ("column", "value", "warning"),
    [
        ("partition", "{i}", "partition is not used for splits: '0', '1', '10', '11', '12' and 35 more is no name of a split"),
        ("fold", "{i}", "not read, though it looks like splits: fold"),
        ("is_test", "{i}", "not read, though it looks like splits: is_test"),
    ],
)
def test_columns_that_look_like_splits_are_named(
    make_store: Make, root: Path, caplog: pytest.LogCaptureFixture, column: str, value: str, warning: str
) -> None:
    table = write(root, f"path,label,{column}", "{i}.png", "{kind}", value)
    assert counts(make_store(reader="image_folder", root=str(root), labels=table)) == {"train": 28, "validation": 4, "test": 8}
    assert said(caplog)[1] == [f"dataset.labels={table!r}: {warning}"]


def test_label_column_chooses(make_store: Make, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = write(root, "path,label,breed", "{i}.png", "{kind}", "{split}")
    store = make_store(reader="image_folder", root=str(root), labels=table, label_column="breed")
    assert store.classes == ["test", "train"]
    line, _ = said(caplog)
    assert "labels from column breed" in line
    assert line.endswith("; not read: label")


def test_a_column_that_tells_images_apart_is_said(make_store: Make, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = write(root, "path,label,number", "{i}.png", "{kind}", "{i}")
    store = make_store(reader="image_folder", root=str(root), labels=table, label_column="number")
    assert len(store.classes) == COUNT
    line = "dataset.label_column='number': 40 labeled images have 40 different labels; what tells images apart is no class"
    assert said(caplog)[1] == [line]


def test_blank_splits_are_said(make_store: Make, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = Path(write(root, "path,label,split", "{i}.png", "{kind}", "{split}"))
    table.write_text(table.read_text().replace(",test", ","))
    make_store(reader="image_folder", root=str(root), labels=str(table))
    assert said(caplog)[1][0].endswith("it says 'train' in 28 of 40 rows and is blank in the others")


@pytest.mark.parametrize(
    ("header", "values", "column", "message"),
    [
        ("path,label", "{kind}", "breed", "dataset.label_column='breed' is no column of dataset.labels='{}'; found: label"),
        ("path,kind", "{kind}", None, "has no column 'label'; dataset.label_column names the one to read; found: kind"),
        (
            "path,class,category",
            "{kind},x",
            None,
            "has several columns that may hold labels (class, category); dataset.label_column",
        ),
        ("path,price", "{i}.5", "price", "column price holds continuous numbers (0.5); whole numbers or names are read as labels"),
        ("path,label", "{i}.5", None, "column label holds continuous numbers (0.5)"),
        ("path,tags", "[0. {i}.]", "tags", "column tags holds several labels an image ('[0. 0.]')"),
        ("path,tags", "['a' '{kind}']", "tags", "column tags holds several labels an image"),
    ],
)
def test_refusals(make_store: Make, root: Path, header: str, values: str, column: str | None, message: str) -> None:
    table = write(root, header, "{i}.png", *values.split(","))
    found = refusal(make_store, reader="image_folder", root=str(root), labels=table, label_column=column)
    assert message.format(table) in found


def test_several_names_in_one_label_are_refused_where_each_is_a_label(make_store: Make, root: Path) -> None:
    table = Path(write(root, "path,label", "{i}.png", "{kind}"))
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], "39.png,cat|dog"]))
    message = refusal(make_store, reader="image_folder", root=str(root), labels=str(table))
    assert "column label holds several labels an image ('cat|dog'); one label an image is read" in message
    table.write_text("\n".join([*lines[:-1], "39.png,cat|mat"]))  # a name with a mark in it
    assert make_store(reader="image_folder", root=str(root), labels=str(table)).classes == ["cat", "cat|mat", "dog"]


def test_a_name_in_brackets_is_a_class(make_store: Make, root: Path) -> None:
    table = write(root, "path,label", "{i}.png", "[{kind}]")
    assert make_store(reader="image_folder", root=str(root), labels=table).classes == ["[cat]", "[dog]"]


def test_ratings_are_classes(make_store: Make, root: Path) -> None:
    table = Path(write(root, "path,label", "{i}.png", "{kind}"))
    table.write_text("\n".join(["path,label", *(f"{i}.png,{i % 4 / 2}" for i in range(COUNT))]))
    assert make_store(reader="image_folder", root=str(root), labels=str(table)).classes == ["0.0", "0.5", "1.0", "1.5"]
