"""dataset{...} is refused early, in one line that says what is allowed; reading it costs no heavy import."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from typing import Any

import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import READERS, DatasetConfig
from ssl_pipelines.data.readers.torchvision_table import TORCHVISION


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"reader": "mnist5"},
            "dataset.reader='mnist5' is refused: reader='mnist5' is unknown; did you mean 'mnist5k'? Allowed: image_f",
        ),
        (
            {"reader": "torchvision", "name": "CIFAR"},
            "dataset.name='CIFAR' is refused: with reader torchvision: name='CIFAR' is unknown; did",
        ),
        ({"reader": "torchvision"}, "dataset.name=None is refused"),
        ({"root": "raw"}, "dataset.root='raw' is refused: reader 'mnist5k' brings its own images"),
        ({"labels": "x.csv"}, "dataset.labels='x.csv' is refused: only reader 'image_folder' takes labels"),
        (
            {"label_column": "x"},
            "dataset.label_column='x' is refused: only readers 'image_folder' (with dataset.labels), 'npz' and",
        ),
        (
            {"reader": "image_folder", "root": "x", "label_column": "kind"},
            "dataset.label_column='kind' is refused: with reader 'image_folder' it is a column of the CSV in dataset.labels",
        ),
        ({"name": True}, "dataset.name=True is refused"),
        ({"channels": 0}, "dataset.channels=0 is refused: allowed is 'auto' or a whole number from 1 to 64"),
        ({"channels": True}, "dataset.channels=True is refused"),
        ({"size": 7}, "dataset.size=7 is refused: allowed is greater than or equal to 8"),
        ({"size": 1025}, "dataset.size=1025 is refused"),
        ({"splits": {"test": 0.6}}, "dataset.splits.test=0.6 is refused"),
        ({"splits": {"tset": 0.1}}, "dataset.splits.tset: key 'tset' of dataset.splits is unknown; did you mean 'test'?"),
        ({"max_megapixels": 10**5}, "dataset.max_megapixels=100000 is refused"),
        ({"max_pixels": 100}, "dataset.max_pixels: key 'max_pixels' of dataset is unknown; did you mean 'max_megapixels'?"),
        ({"stored_size": 7}, "dataset.stored_size=7 is refused: allowed is 'auto' or a whole number from 8 to 2048"),
        ({"stored_size": True}, "dataset.stored_size=True is refused"),
        ({"stored_size": 16}, "dataset: stored_size=16 is smaller than size=28: allowed is 28 to 2048"),
        ({"white": 0}, "dataset.white=0 is refused: allowed is 'auto' or a whole number from 1 to 65535"),
        ({"white": "4095"}, "dataset.white='4095' is refused"),
        ({"fit": "crop"}, "dataset.fit='crop' is refused: allowed is 'square', 'pad' or 'long'"),
        ({"alpha": "no"}, "dataset.alpha='no' is refused: allowed is 'auto', 'composite' or 'ignore'"),
        ({"rot": "x"}, "dataset.rot: key 'rot' of dataset is unknown; did you mean 'root'?"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        DatasetConfig.of(values, "dataset")
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_number_may_be_a_name() -> None:
    values = {"reader": "image_folder", "root": 2024, "name": 10, "labels": 7, "label_column": 1.5}
    config = DatasetConfig.of(values, "dataset")
    assert (config.root, config.name, config.labels, config.label_column) == ("2024", "10", "7", "1.5")


def test_every_reader_is_described_and_opens() -> None:
    from ssl_pipelines.data.readers import open_reader

    assert set(READERS) == {"mnist5k", "torchvision", "image_folder", "parquet", "npz"}
    for name, info in READERS.items():
        assert info.name == name
        assert info.needs
        config = DatasetConfig(reader=name, name="CIFAR10")
        if info.root == "required":
            with pytest.raises(InputError, match=f"dataset.root is not set: reader '{name}' needs"):
                open_reader(config)
        else:
            assert open_reader(config).name in ("mnist5k", "CIFAR10")


def test_torchvision_takes_the_arguments_of_the_table() -> None:
    from torchvision import datasets

    for name, splits in TORCHVISION.items():
        signature = inspect.signature(getattr(datasets, name))
        for arguments in splits.values():
            bound = signature.bind("root", **arguments, download=False)
            assert not set(arguments) - set(bound.arguments) - set(bound.arguments.get("kwargs", {}))


def test_config_is_light() -> None:
    script = "import sys, ssl_pipelines.data.config; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "pyarrow", "PIL", "torch", "torchvision", "rich", "joblib"} & set(loaded)


def test_labels_say_which_columns_are_read() -> None:
    [tree] = ast.parse(inspect.getsource(DatasetConfig)).body
    assert isinstance(tree, ast.ClassDef)
    names = [ast.unparse(line.target) if isinstance(line, ast.AnnAssign) else "" for line in tree.body]
    description = ast.unparse(tree.body[names.index("labels") + 1])
    for word in ("path", "file_name", "Path", "label", "class", "`label_column`", "split", "subset"):
        assert re.search(rf"(?<!\w){re.escape(word)}(?!\w)", description), word
