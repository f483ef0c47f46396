"""`kedro trace`: the way back from a number, what it says where the way is broken, and commands that give the same parameters."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from ssl_pipelines.artifacts.files import sha256_of
from ssl_pipelines.artifacts.record import flatten
from ssl_pipelines.orchestration.lineage.reproduce import differing, nested
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import project_stages

BASE = yaml.safe_load((Path(__file__).resolve().parents[2] / "conf/base/parameters.yml").read_text())


@pytest.fixture
def ask(finished):
    """`kedro trace ...` in the project: what it prints, or its one line of refusal."""

    def run(*words: str) -> str:
        from ssl_pipelines.cli import trace

        done = CliRunner().invoke(trace, words)
        assert done.exit_code == 0 or "\n" not in done.output.strip(), done.output
        return done.stdout if done.exit_code == 0 else done.output

    return run


def links(said: str) -> dict[str, dict]:
    return {link["title"]: link for link in json.loads(said)["links"]}


def test_the_way_from_the_number_to_the_raw_files_holds(ask, finished):
    said = json.loads(ask("linear.top1", "--json"))
    metrics = json.loads((finished.root / "data/08_reporting/metrics.json").read_text())
    assert said["score"]["value"] == metrics["linear"]["top1"]
    titles = [link["title"] for link in said["links"]]
    assert titles == ["report", "score", "features", "model", "MLflow run", "gate", "store", "raw files"]
    assert {link["state"] for link in said["links"]} == {"holds"}, said
    assert not any(link["code_changed"] for link in said["links"])
    found = links(json.dumps(said))
    assert found["model"]["facts"]["encoder.safetensors, sha256"] == sha256_of(finished.root / "data/06_models/encoder.safetensors")
    assert found["MLflow run"]["facts"]["run"] == metrics["mlflow_run_id"]
    assert found["store"]["facts"]["digest"] == metrics["dataset"]["sha256"]
    assert found["score"]["facts"]["protocol"].startswith("multinomial logistic regression")
    printed = ask("linear.top1")
    assert f"{metrics['linear']['top1']:.2%}" in printed
    assert "To get it again" in printed


def test_every_score_can_be_traced(ask, finished):
    for room in ("linear_eval", "knn_eval", "diagnose", "finetune"):
        [row, *_] = json.loads((finished.root / f"data/07_model_output/{room}.json").read_text())
        assert {link["state"] for link in links(ask(row["metric"], "--json")).values()} == {"holds"}, room


def test_what_was_made_anew_is_stale_and_what_lies_beyond_is_not_known(ask, finished):
    finished.run("--pipeline=extract_features", params="method=rotation")
    found = links(ask("linear.top1", "--json"))
    assert found["features"]["state"] == "stale"
    assert "made anew since" in found["features"]["why"]
    assert (found["model"]["state"], "made anew since" in found["model"]["why"]) == ("stale", True)
    assert found["gate"]["state"] == "unknown"
    assert found["MLflow run"]["facts"]["name"] == "simclr on digits"  # the page knows whose number it is
    assert found["store"]["state"] == "holds"


def test_a_changed_page_weights_manifest_or_raw_file_is_found(ask, finished):
    page = finished.root / "data/08_reporting/metrics.json"
    metrics = json.loads(page.read_text())
    page.write_text(json.dumps(metrics | {"linear": metrics["linear"] | {"top1": 0.999}}))
    weights = finished.root / "data/06_models/encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    (finished.root / "digits.npz").touch()
    about = finished.root / "data/02_intermediate/store.json"
    about.write_text(about.read_text().replace('"size": ', '"size": 1'))
    found = links(ask("linear.top1", "--json"))
    assert (found["report"]["state"], "0.999" in found["report"]["why"]) == ("stale", True)
    assert (found["model"]["state"], "not the file that the training wrote" in found["model"]["why"]) == ("stale", True)
    assert (found["store"]["state"], "manifest was changed" in found["store"]["why"]) == ("stale", True)
    assert (found["raw files"]["state"], "written anew" in found["raw files"]["why"]) == ("stale", True)
    (finished.root / "digits.npz").unlink()
    weights.unlink()
    found = links(ask("linear.top1", "--json"))
    assert found["raw files"]["state"] == "missing"
    assert (found["model"]["state"], found["model"]["why"]) == ("missing", "data/06_models/encoder.safetensors is missing")


def test_a_runs_number_is_traced_through_mlflow(ask, finished):
    metrics = json.loads((finished.root / "data/08_reporting/metrics.json").read_text())
    finished.run("--pipeline=linear_eval", params="method=rotation")
    said = ask("linear.top1", "--run", metrics["mlflow_run_id"][:8], "--json")
    assert json.loads(said)["score"]["value"] == metrics["linear"]["top1"]
    found = links(said)
    assert "report" not in found
    assert found["score"]["state"] == "holds"
    assert found["features"]["state"] == "stale"
    assert found["MLflow run"]["facts"]["logged by"] == metrics["mlflow_run_id"]
    assert "methods.rotation" not in " ".join(json.loads(said)["reproduce"])


def test_unknown_names_in_one_line(ask):
    message = ask("linear.topp1")
    assert "METRIC='linear.topp1' is unknown; did you mean 'linear.top1'?" in message
    assert "Allowed: diagnose." not in message
    assert "METRIC='top1' is unknown" in ask("top1")
    assert "--run='nobody' is unknown" in ask("linear.top1", "--run", "nobody")


def test_a_commit_is_named_and_its_code_held_against_what_ran(ask, finished):
    def git(*words: str) -> str:
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        return subprocess.run(["git", *who, *words], cwd=finished.root, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "src", "conf", "pyproject.toml")
    git("commit", "--quiet", "-m", "start")
    commit, note = git("rev-parse", "HEAD"), finished.root / "data/06_models/provenance.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"git_commit": f"{commit}+dirty"}))
    lines = json.loads(ask("linear.top1", "--json"))["reproduce"]
    assert lines[:2] == [f"git checkout {commit}", "# there were uncommitted changes then, none of them in the code that ran"]
    assert any(
        line.startswith("kedro run --pipeline=linear_eval --params ") and "pretrain.images_seen=256" in line for line in lines
    )
    assert f"OMP_NUM_THREADS={json.loads(note.read_text())['threads']}," in lines[-1]
    record = finished.root / "data/07_model_output/linear_eval.record.json"
    body = json.loads(record.read_text())
    body["code"]["definitions"]["evaluation.linear.predict"] = body["code"]["digest"] = "0" * 16
    record.write_text(json.dumps(body))
    said = json.loads(ask("linear.top1", "--json"))
    assert "evaluation.linear.predict differed" in said["reproduce"][1]
    assert links(json.dumps(said))["score"]["code_changed"] == ["evaluation.linear.predict"]
    record.write_text(json.dumps(body | {"code": {"evaluation/linear.py": "0" * 16}}))  # the form of an earlier version
    said = json.loads(ask("linear.top1", "--json"))
    assert (
        said["reproduce"][1] == "# the code that ran was recorded by an earlier version: whether it was the commit's cannot be told"
    )
    assert links(json.dumps(said))["score"]["code_changed"] == ["recorded by an earlier version"]
    assert "code recorded by an earlier version, so it cannot be compared" in ask("linear.top1")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"method": "rotation", "pretrain.images_seen": 500, "linear_eval.num_values": 4},
        {"methods.simclr.loss": "debiased", "seed": 7},
        {"methods.simclr.loss": {"name": "debiased", "positive_prior": 0.2}},
        {"method": "mae", "backbone.depth": 2, "pretrain.optimizer.lr": 1e-3},
        {"pretrain.epochs": 2.5, "pretrain.images_seen": None},
        {"dataset.reader": "image_folder", "dataset.root": "/some, where", "dataset.size": 32, "backbone.name": "resnet18"},
        {"dataset.fields": ["saliency"], "method": "byol", "methods.byol.views.backgrounds.random": 0.2},
        {"transfer_eval.datasets.digits.reader": "mnist5k", "seed": 2},
        {
            "transfer_eval.datasets.cars.reader": "image_folder", "transfer_eval.datasets.cars.root": "/cars",
            "transfer_eval.datasets.cars.channels": 1, "transfer_eval.models.twin": "/twin", "transfer_eval.knn.k": 3,
        },
    ],
)  # fmt: skip
def test_the_command_gives_exactly_the_parameters_that_are_wanted(given):
    from omegaconf import OmegaConf

    from ssl_pipelines.methods.config import deep_merge
    from ssl_pipelines.orchestration.lineage.reproduce import _text
    from ssl_pipelines.orchestration.params_option import split_params

    stage = project_stages()["transfer_eval" if any(key.startswith("transfer_eval") for key in given) else "linear_eval"]
    keys = tuple(key for one in project_stages().before(stage.name) for key in one.parameters)
    wanted = flatten(Parameters.of(deep_merge(BASE, nested(given))).read_by(keys))
    wanted = json.loads(json.dumps(wanted))  # as a record holds them
    overrides, left = differing(BASE, wanted, stage)
    assert left == []
    typed = ",".join(f"{key}={_text(value)}" for key, value in overrides.items())
    again = OmegaConf.to_container(OmegaConf.merge(BASE, split_params(None, None, typed)))  # type: ignore[arg-type]
    found = flatten(Parameters.of(again).read_by(keys))
    assert json.loads(json.dumps(found)) == wanted
    assert len(overrides) <= 12 + len(given) or "method" in given or "dataset.reader" in given
