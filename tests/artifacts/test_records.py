"""The note beside an artifact."""

from __future__ import annotations

import json

from ssl_pipelines.artifacts import Record
from ssl_pipelines.artifacts.code import Code
from ssl_pipelines.artifacts.record import digest, flatten


def test_a_record_round_trips(tmp_path):
    record = Record({"a.b": 1}, {"store": "x"}, Code(("m:f",), "d", {"m.f": "1"}), "abc")
    record.write(tmp_path / "r.json")
    assert Record.read(tmp_path / "r.json") == record


def test_without_a_fingerprint_of_its_own_the_recipe_is_written(tmp_path):
    record = Record({"a": 1}, {})
    record.write(tmp_path / "r.json")
    found = Record.read(tmp_path / "r.json")
    assert found is not None
    assert found.fingerprint == record.recipe


def test_a_recipe_follows_parameters_and_inputs_and_not_the_code():
    base = Record({"a": 1, "b": 2}, {"store": "x"}, Code(("m:f",), "d", {"m.f": "1"}))
    assert base.recipe == Record({"b": 2, "a": 1}, {"store": "x"}).recipe
    assert base.recipe != Record({"a": 1, "b": 3}, {"store": "x"}).recipe
    assert base.recipe != Record({"a": 1, "b": 2}, {"store": "y"}).recipe


def test_a_record_of_another_schema_or_none_counts_as_none(tmp_path):
    assert Record.read(tmp_path / "r.json") is None
    (tmp_path / "r.json").write_text(json.dumps({"schema_version": 99}))
    assert Record.read(tmp_path / "r.json") is None


def test_flatten_keeps_empty_blocks():
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})
