"""dvc.yaml, the catalog and the parameter files, held against each other."""

from __future__ import annotations

from pathlib import Path

import yaml

from ssl_pipelines.orchestration.freshness.dvc import outputs, render
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import RUN_KEYS, project_stages

ROOT = Path(__file__).resolve().parents[2]
BASE = yaml.safe_load((ROOT / "conf/base/parameters.yml").read_text())
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_dvc_yaml_is_the_generated_one():
    assert (ROOT / "dvc.yaml").read_text() == render(BASE), "run `make dvc-yaml`"


def test_the_stages_of_the_road_with_the_parameters_that_their_fingerprints_read():
    typed = Parameters.of(BASE)
    assert list(DVC["stages"]) == [one.name for one in project_stages().road]
    for name, stage in DVC["stages"].items():
        [keys] = stage["params"][0].values()
        assert set(keys) == set(typed.read_by(project_stages()[name].parameters))
        assert set(keys) <= set(BASE), "a key that DVC is to watch stands in conf/base/parameters.yml"


def test_stages_depend_on_every_artifact_that_they_read():
    for name, stage in DVC["stages"].items():
        for artifact in project_stages()[name].inputs:
            made = set(outputs(project_stages().that_makes(artifact)))
            assert made & set(stage["deps"]), f"{name} reads {artifact}"


def test_nothing_depends_on_clock_times():
    for stage in DVC["stages"].values():
        assert not [dep for dep in stage["deps"] if dep.endswith(("events.jsonl", "provenance.json"))]


def test_every_parameter_file_is_accepted():
    for path in sorted((ROOT / "conf").glob("*/parameters.yml")):
        own = yaml.safe_load(path.read_text())
        assert set(own) <= {*project_stages().blocks, *RUN_KEYS}
        Parameters.of(_merge(BASE, own))


def _merge(below, above):
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _merge(below.get(key), value) for key, value in above.items()}
