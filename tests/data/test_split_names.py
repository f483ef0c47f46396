"""Names of splits, as public data sets spell them, and names that only look like them."""

from __future__ import annotations

import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.split_names import column_splits, splits_of


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("train test", "train test"),
        ("Training Testing", "train test"),
        ("train valid eval", "train validation test"),
        ("train eval test", "train validation test"),  # one that is called test as well
        ("training_set test_set", "train test"),
        ("seg_train seg_test seg_pred", "train test -"),
        ("Final_Training Final_Test", "train test"),
        ("train2017 val2017 test2017 unlabeled2017", "train validation test unlabeled"),
        ("cifar10-train cifar10-test", "train test"),
        ("TrainingSet ValidationSet", "train validation"),
        ("trainset testset", "train test"),
        ("trainval test", "train test"),
        ("my.train.v2 my.test.v2", "train test"),
        ("mnist_train-0a1b2c3d4e mnist_test-9f8e7d6c5b", "train test"),
        ("asl_alphabet_train asl_alphabet_test", "train test"),
        ("train_station test_track", "- -"),  # differ in more than the split
        ("test_tube beaker flask", "- - -"),
        ("eval exam", "- -"),
        ("trainval", "-"),
        ("train_test_split train_test", "- -"),  # two splits in one name
        ("training_set", "-"),  # alone it may be anything
        ("trains tests", "- -"),
        ("contrast latest", "- -"),
    ],
)
def test_names(names: str, expected: str) -> None:
    found = splits_of(names.split())
    assert [found.get(name, "-") for name in names.split()] == expected.split()


def test_values_of_a_column() -> None:
    assert column_splits("x.csv", "split", ["Train", "TEST", "", "dev"]) == {"Train": "train", "TEST": "test", "dev": "validation"}
    assert column_splits("x.csv", "Usage", ["Training", "PublicTest"]) == {"Training": "train", "PublicTest": "test"}
    assert (
        column_splits("x.csv", "subset", ["train", "jazz"]) == "x.csv: subset is not used for splits: 'jazz' is no name of a split"
    )
    assert column_splits("x.csv", "split", ["0", "1"]) == "x.csv: split is not used for splits: '0', '1' is no name of a split"
    assert column_splits("x.csv", "split", ["test", "test"]) == "x.csv: split is not used for splits: it says 'test' in every row"
    blank = column_splits("x.csv", "split", ["train", "", "train", " "])
    assert blank == "x.csv: split is not used for splits: it says 'train' in 2 of 4 rows and is blank in the others"
    assert column_splits("x.csv", "split", {"train": 30, "": 10}) == blank.replace("2 of 4", "30 of 40")
    assert column_splits("x.csv", "set", ["", ""]) == "x.csv: set is not used for splits: it says nothing in every row"
    with pytest.raises(InputError, match=r"x\.csv: split='tst' is unknown\. Allowed: dev, eval"):
        column_splits("x.csv", "split", ["train", "tst"])
