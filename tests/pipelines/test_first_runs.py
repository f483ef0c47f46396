"""What a run stands on and was not given is trained first: a run of its own, kept, found again, resumed."""

from __future__ import annotations

import json
import shutil

import click
import pytest
from mlflow import MlflowClient

from ssl_pipelines.training.loop import Loop

BEIT = "method=beit,dataset.size=16,backbone.depth=1,methods.dvae.num_tokens=16,pretrain.images_seen=128"
DVAE = BEIT.replace("method=beit", "method=dvae").replace(",backbone.depth=1", "")


def client(project) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{project.root}/mlflow.db")


def runs(project) -> dict[str, list]:
    """method -> its runs."""
    found = client(project)
    listed: dict[str, list] = {}
    for run in found.search_runs([experiment.experiment_id for experiment in found.search_experiments()]):
        listed.setdefault(run.data.tags["method"], []).append(run)
    return listed


def provenance(project) -> dict:
    return json.loads((project.root / "data/06_models/provenance.json").read_text())


def tokenizers(project) -> list:
    return sorted((project.root / "data/.upstream").glob("dvae-*"))


@pytest.fixture(scope="module")
def trained_folder(template, made_once, enter):
    """A project in which beit was asked for alone, and what the run said."""
    from projects import TINY
    from ssl_pipelines.cli import run

    def make(folder):
        shutil.copytree(template, folder / "project", symlinks=True)
        words = ["--env", "smoke", "--pipeline=pretrain", "--params", f"{TINY},{BEIT}"]
        with pytest.MonkeyPatch.context() as monkeypatch:
            enter(folder / "project", monkeypatch)
            run.main(words, standalone_mode=False, prog_name="kedro run")

    return made_once("beit", make) / "project"


@pytest.fixture
def trained(trained_folder, project):
    """A copy of it."""
    shutil.copytree(trained_folder, project.root, symlinks=True, dirs_exist_ok=True)
    return project


def test_two_runs_and_the_one_knows_the_other(trained):
    listed = runs(trained)
    [beit], [dvae] = listed["beit"], listed["dvae"]
    assert (beit.info.status, dvae.info.status) == ("FINISHED", "FINISHED")
    assert "mlflow.parentRunId" not in dvae.data.tags
    assert dvae.data.params["pretrain.images_seen"] == "128"
    assert dvae.data.params["methods.dvae.num_tokens"] == "16"
    assert "train/surprise" in dvae.data.metrics
    assert "train/surprise" not in beit.data.metrics
    assert beit.data.tags["upstream.tokenizer"] == dvae.info.run_id
    known = provenance(trained)["upstream"]["tokenizer"]
    assert (known["mlflow_run_id"], known["method"], known["images_seen"]) == (dvae.info.run_id, "dvae", 128)
    [folder] = tokenizers(trained)
    assert (folder / "encoder.safetensors").is_file()
    assert not list(folder.rglob("step-*.pt"))
    config = json.loads((trained.root / "data/06_models/config.json").read_text())
    assert config["parameters"]["method_config"]["num_tokens"] == 16
    assert config["upstream"]["tokenizer"]["fingerprint"] == known["fingerprint"]


def test_again_is_a_no_op_also_where_the_tokenizer_is_gone(trained):
    shutil.rmtree(tokenizers(trained)[0])
    trained.run("--pipeline=pretrain", params=BEIT)
    assert "pretrain: up to date" in trained.lines
    assert not tokenizers(trained)
    assert {name: len(found) for name, found in runs(trained).items()} == {"beit": 1, "dvae": 1}


def test_another_beit_stands_on_the_same_tokenizer(trained):
    trained.run("--pipeline=pretrain", params=f"{BEIT},methods.beit.mask_fraction=0.5")
    assert trained.said("pretrain: methods.beit.mask_fraction 0.4 -> 0.5")
    assert "pretrain.dvae: up to date" in trained.lines
    assert len(runs(trained)["dvae"]) == 1


def test_other_parameters_of_the_tokenizer_make_both_anew(trained):
    first = provenance(trained)["upstream"]["tokenizer"]["mlflow_run_id"]
    trained.run("--pipeline=pretrain", params=BEIT.replace("num_tokens=16", "num_tokens=8"))
    assert trained.said("pretrain: upstream tokenizer changed")
    assert trained.said("stands on a tokenizer, none was given: dvae is trained first")
    assert provenance(trained)["upstream"]["tokenizer"]["mlflow_run_id"] != first
    assert len(tokenizers(trained)) == 2


def test_where_the_folder_is_gone_it_is_found_in_mlflow(trained):
    [run] = runs(trained)["dvae"]
    shutil.rmtree(tokenizers(trained)[0])
    trained.run("--pipeline=pretrain", params=f"{BEIT},methods.beit.mask_fraction=0.5")
    assert trained.said(f"stands on the dvae of run {run.info.run_id}, which was trained before")
    assert len(runs(trained)["dvae"]) == 1
    assert provenance(trained)["upstream"]["tokenizer"]["mlflow_run_id"] == run.info.run_id


def test_a_run_of_dvae_that_was_asked_for_serves_later(project):
    project.run("--pipeline=pretrain", params=DVAE)
    project.run("--pipeline=pretrain", params=BEIT)
    [run] = runs(project)["dvae"]
    assert project.said(f"stands on the dvae of run {run.info.run_id}")
    assert provenance(project)["upstream"]["tokenizer"]["mlflow_run_id"] == run.info.run_id


def test_a_tokenizer_that_was_interrupted_goes_on_in_its_own_run(project, monkeypatch):
    before, stopped = Loop.run_step, []

    def run_step(loop, step):
        if loop.method.config.name == "dvae" and step == 1 and not stopped:
            stopped.append(step)
            raise KeyboardInterrupt
        return before(loop, step)

    monkeypatch.setattr("ssl_pipelines.training.pretrain.announce", lambda *_: None)
    params = f"{BEIT},runtime.checkpoint_every=1"
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "run_step", run_step)
        with pytest.raises(click.ClickException, match="interrupted"):
            project.run("--pipeline=pretrain", params=params)
    [run] = runs(project)["dvae"]
    assert (stopped, run.info.status) == ([1], "KILLED")
    project.run("--pipeline=pretrain", params=params)
    assert project.said("going on from step 1 of 2")
    [again] = runs(project)["dvae"]
    assert (again.info.run_id, again.info.status) == (run.info.run_id, "FINISHED")
    [beit] = runs(project)["beit"]
    assert beit.data.tags["upstream.tokenizer"] == run.info.run_id


REFUSED = {
    "methods.dvae.num_tokens=1": ("methods.dvae.num_tokens=1",),
    "dataset.size=18,backbone.patch_size=6": ("backbone.patch_size=6", "px a code are allowed"),
    "dataset.size=72,backbone.patch_size=2": ("18 x 18 codes", "36 x 36 patches"),
}


@pytest.mark.parametrize("params", REFUSED)
def test_what_would_not_fit_is_refused_before_anything_is_trained(project, refused, params):
    message = refused(lambda: project.run("--pipeline=pretrain", params=f"{BEIT},{params}"))
    for part in REFUSED[params]:
        assert part in message, message
    assert not tokenizers(project)
    assert not (project.root / "mlflow.db").exists()
