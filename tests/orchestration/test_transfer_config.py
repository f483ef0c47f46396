"""The block transfer_eval: what is refused before anything is read, and what a data set has where nothing is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.pipelines.transfer_eval.config import TransferConfig
from ssl_pipelines.pipelines.transfer_eval.resolve import check_transfer

BASE = yaml.safe_load((Path(__file__).resolve().parents[2] / "conf/base/parameters.yml").read_text())
DIGITS = {"digits": {"reader": "mnist5k"}}


def parameters(**transfer):
    return Parameters.of(BASE | {"transfer_eval": transfer})


REFUSED = [
    ({"datasets": {"a": {"reader": "zip"}}}, ("transfer_eval.datasets.a.reader='zip'", "parquet")),
    ({"datasets": {"a": {"raeder": "npz"}}}, ("transfer_eval.datasets.a.raeder", "did you mean 'reader'")),
    ({"datasets": {"a": {"size": 3}}}, ("transfer_eval.datasets.a.size=3",)),
    ({"datasets": {"a": 3}}, ("transfer_eval.datasets.a=3",)),
    ({"datasets": [{"reader": "mnist5k"}]}, ("transfer_eval.datasets", "names with a block each")),
    ({"datasets": {"a/b": {}}}, ("transfer_eval.datasets", "name 'a/b'")),
    ({"datasets": {"A": {}, "a": {}}}, ("transfer_eval.datasets", "given twice")),
    ({"datasets": DIGITS, "models": {"raw_pixels": "somewhere"}}, ("transfer_eval.models", "'raw_pixels' is taken")),
    ({"datasets": DIGITS, "models": {"other": ""}}, ("transfer_eval.models", "'other' has no model")),
    ({"datasets": DIGITS, "linear": {"num_values": 0}}, ("transfer_eval.linear.num_values=0",)),
    ({"datasets": DIGITS, "gate": {"leakage": {"max": -1}}}, ("transfer_eval.gate.leakage.max=-1",)),
    # From here on by looking at what is there.
    ({}, ("transfer_eval.datasets is empty", "--params transfer_eval.datasets.")),
    ({"datasets": {"a": {"reader": "parquet"}}}, ("transfer_eval.datasets.a.root is not set",)),
    ({"datasets": DIGITS | {"a": {"reader": "npz", "root": "nowhere.npz"}}}, ("transfer_eval.datasets.a.root=", "nowhere.npz")),
    (
        {"datasets": {"a": {"reader": "image_folder", "root": ".", "labels": "no.csv"}}},
        ("transfer_eval.datasets.a.labels=", "no.csv"),
    ),
    ({"datasets": DIGITS, "models": {"other": "nowhere"}}, ("transfer_eval.models.other=", "no model folder")),
    ({"datasets": DIGITS, "models": {"other": "f" * 32}}, ("transfer_eval.models.other=", "no MLflow store")),
]


@pytest.mark.parametrize(("given", "parts"), REFUSED)
def test_refused_in_one_line(given, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        check_transfer(parameters(**given), None)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def test_a_stored_side_is_no_smaller_than_the_size_that_holds():
    tree = BASE | {"dataset": BASE["dataset"] | {"size": 128}, "transfer_eval": {"datasets": {"a": {"stored_size": 100}}}}
    with pytest.raises(InputError, match=r"transfer_eval\.datasets\.a\.stored_size=100 is smaller than dataset\.size=128"):
        Parameters.of(tree)


def test_defaults():
    found = parameters(datasets=DIGITS | {"own": {"size": 20}}, linear={"max_iterations": 50}).block(
        "transfer_eval", TransferConfig
    )
    assert found.linear.num_values == 45, "also where another key of the block is given"
    assert {name: one.size for name, one in found.datasets.items()} == {"digits": BASE["dataset"]["size"], "own": 20}
    assert not parameters().block("transfer_eval", TransferConfig).datasets
