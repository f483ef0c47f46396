"""A stage is stated once: what its function's signature, the catalog and the parameters say is all that there is to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssl_pipelines.artifacts.code import ROOT
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.pipeline_registry import register_pipelines

PROJECT = ROOT.parents[1]
LOOK = """
import json, sys, yaml
from click.testing import CliRunner
from docs_build import stages as pages
from ssl_pipelines.cli import cli
from ssl_pipelines.orchestration.freshness.dvc import stages
from ssl_pipelines.orchestration.stages import project_stages
known = project_stages()
print(json.dumps({
    "dvc": stages(yaml.safe_load(open("conf/base/parameters.yml")))["stages"]["report"]["deps"],
    "freshness": list(known["report"].inputs),
    "before": [one.name for one in known.before("report")],
    "docs": pages.picture(),
    "describe": CliRunner().invoke(cli, ["registry", "describe", "report"]).output,
}))
"""
TOY = {
    "__init__.py": '"""A toy."""\n',
    "nodes.py": """
from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ssl_pipelines.artifacts import Artifact, Config, Record
from ssl_pipelines.orchestration.stage_run import StageRun


class ToyConfig(Config):
    times: int = Field(default=1, ge=1)


def toy(store: Artifact, toy: ToyConfig, seed: int, stage: StageRun) -> Artifact:
    def build(folder: Path, record: Record) -> None:
        (folder / "toy.txt").write_text("toy " * toy.times)

    return stage.make(build)
""",
    "pipeline.py": """
from kedro.pipeline import Pipeline

from ssl_pipelines.orchestration.stages import ON_REQUEST, stage
from ssl_pipelines.pipelines.toy.nodes import toy


def create_pipeline() -> Pipeline:
    return Pipeline([stage(toy, "toy", ON_REQUEST)])
""",
}


@pytest.fixture
def copied(tmp_path) -> Path:
    """This project with its source, to be changed."""
    for name in ("src", "conf", "docs_build"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def python(folder: Path, *words: str, fails: bool = False) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KEDRO", "MLFLOW", "DVC"))}
    environment |= {"PYTHONPATH": f"{folder / 'src'}{os.pathsep}{folder}"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + (done.stderr if fails else "")


def test_an_input_that_goes_from_the_signature_goes_from_everywhere(copied):
    def look() -> dict:
        return json.loads(python(copied, "-c", LOOK).splitlines()[-1])

    before = look()
    nodes = copied / "src/ssl_pipelines/pipelines/report/nodes.py"
    assert nodes.read_text().count("    diagnosis: Artifact,\n") == 1
    nodes.write_text(nodes.read_text().replace("    diagnosis: Artifact,\n", ""))
    after = look()
    assert set(before["dvc"]) - set(after["dvc"]) == {
        f"data/07_model_output/diagnose.{name}" for name in ("json", "spectra.parquet", "record.json")
    }
    assert set(before["freshness"]) - set(after["freshness"]) == {"diagnosis"}
    assert set(before["before"]) - set(after["before"]) == {"diagnose"}
    [chain] = [line for line in after["docs"].splitlines() if "report stands on" in line]
    assert "diagnose" not in chain.partition("report stands on ")[2].partition(".")[0].partition(";")[0]
    assert before["docs"] != after["docs"]
    assert "- diagnosis" in before["describe"]
    assert "diagnosis" not in after["describe"]


def test_a_new_stage_is_a_folder_a_line_and_a_block(copied):
    folder = copied / "src/ssl_pipelines/pipelines/toy"
    folder.mkdir()
    for name, text in TOY.items():
        (folder / name).write_text(text)
    with (copied / "conf/base/catalog.yml").open("a") as catalog:
        catalog.write("toy: {type: ssl_pipelines.orchestration.catalog.ArtifactDataset, filepath: data/14_toy/toy.record.json}\n")
    with (copied / "conf/base/parameters.yml").open("a") as parameters:
        parameters.write("\ntoy: {times: 2}\n")
    kedro = ("-m", "kedro", "run", "--pipeline=toy", "--params")
    assert "toy: nothing there yet" in python(copied, *kedro, "runtime.workers=1")
    assert (copied / "data/14_toy/toy.txt").read_text() == "toy toy "
    assert "toy: up to date" in python(copied, *kedro, "runtime.workers=1")
    assert "toy: toy.times 2 -> 3" in python(copied, *kedro, "runtime.workers=1,toy.times=3")
    assert "toy.times=0 is refused" in python(copied, *kedro, "toy.times=0", fails=True)


def test_each_pipeline_is_its_stage_and_what_it_stands_on():
    pipelines, stages = register_pipelines(), project_stages()
    assert set(pipelines) == {*stages, "__default__"}
    for name, stage in stages.items():
        assert {node.name for node in pipelines[name].nodes} == {one.name for one in stages.before(name)}
        assert (name in {node.name for node in pipelines["__default__"].nodes}) is (stage in stages.road)
    assert [one.name for one in stages.road][:3] == ["ingest", "validate", "pretrain"]


def test_every_entry_of_the_catalog_is_written_by_one_stage():
    catalog = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text())
    assert sorted(name for name in catalog if not name.startswith("_")) == sorted(one.artifact for one in project_stages().making)
    assert {catalog[one.artifact]["filepath"] for one in project_stages().making} == {one.record for one in project_stages().making}


def test_no_stage_reads_what_says_how_it_is_run():
    for stage in project_stages().values():
        assert not {"runtime", "stage", "tracker", "models"} & {*stage.parameters, *stage.inputs}


def test_the_code_of_a_stage_lies_below_orchestration_but_for_the_expectations():
    for stage in project_stages().making:
        above = [root for root in stage.code if root.startswith(("ssl_pipelines.orchestration", "ssl_pipelines.pipelines"))]
        assert all(root.startswith("ssl_pipelines.orchestration.validation.") for root in above), (stage.name, above)
    assert any("training.launch:run" in root for root in project_stages()["pretrain"].code)
    assert any(root.endswith("validate:validate") for root in project_stages()["validate"].code)
