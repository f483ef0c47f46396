"""dvc.yaml, the catalog and the parameter files, held against each other."""

from __future__ import annotations

from pathlib import Path

import yaml

from ssl_pipelines.orchestration.dvc import outputs, render
from ssl_pipelines.orchestration.parameters import BLOCKS, RUN_KEYS, Parameters
from ssl_pipelines.orchestration.rooms import BY_ARTIFACT, ROOMS, TOOLS, before_tool, upstream
from ssl_pipelines.pipeline_registry import register_pipelines

ROOT = Path(__file__).resolve().parents[2]
BASE = yaml.safe_load((ROOT / "conf/base/parameters.yml").read_text())
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_dvc_yaml_is_the_generated_one():
    assert (ROOT / "dvc.yaml").read_text() == render(BASE), "run `make dvc-yaml`"


def test_a_stage_a_room_with_the_parameters_that_its_fingerprint_reads():
    typed = Parameters.of(BASE)
    assert list(DVC["stages"]) == [name for name, room in ROOMS.items() if not room.on_request]
    for name, stage in DVC["stages"].items():
        [keys] = stage["params"][0].values()
        assert set(keys) == set(typed.read_by(ROOMS[name].parameters))
        assert set(keys) <= set(BASE), "a key that DVC is to watch stands in conf/base/parameters.yml"


def test_stages_depend_on_every_artifact_their_room_reads():
    for name, stage in DVC["stages"].items():
        for artifact in ROOMS[name].inputs:
            made = set(outputs(BY_ARTIFACT[artifact]))
            assert made & set(stage["deps"]), f"{name} reads {artifact}"


def test_nothing_depends_on_clock_times():
    for stage in DVC["stages"].values():
        assert not [dep for dep in stage["deps"] if dep.endswith(("events.jsonl", "provenance.json"))]


def test_the_catalog_has_an_entry_a_room_at_its_record():
    catalog = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text())
    assert {name: entry["filepath"] for name, entry in catalog.items()} == {room.artifact: room.record for room in ROOMS.values()}


def test_the_nodes_read_what_the_rooms_say():
    pipelines = register_pipelines()
    for name, room in ROOMS.items():
        [node] = [node for node in pipelines[name].nodes if node.name == name]
        assert (node in pipelines["__default__"].nodes) is not room.on_request
        assert list(node.inputs) == [*room.inputs, "parameters"]
        assert node.outputs == [room.artifact]
        assert {node.name for node in pipelines[name].nodes} == set(upstream(name))


def test_every_parameter_file_is_accepted():
    for path in sorted((ROOT / "conf").glob("*/parameters.yml")):
        own = yaml.safe_load(path.read_text())
        assert set(own) <= {*BLOCKS, *RUN_KEYS}
        Parameters.of(_merge(BASE, own))


def _merge(below, above):
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _merge(below.get(key), value) for key, value in above.items()}


def test_a_tool_runs_after_the_rooms_that_make_what_it_reads():
    pipelines = register_pipelines()
    for name, artifacts in TOOLS.items():
        [node] = [node for node in pipelines[name].nodes if node.name == name]
        assert (list(node.inputs), node.outputs) == ([*artifacts, "parameters"], []), "nothing stands on a tool"
        assert {node.name for node in pipelines[name].nodes} == {*before_tool(name), name}
        assert name not in ROOMS
