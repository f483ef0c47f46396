"""Runs on one page as a user asks for it, from MLflow and from a checkout; and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

PAGE, NUMBERS = "data/09_compare/comparison.html", "data/09_compare/comparison.json"


@pytest.fixture(scope="module")
def compared_folder(finished_folder: Path, made_once, enter) -> Path:
    """A project with a simclr and a rotation, both evaluated."""

    def make(folder: Path) -> None:
        shutil.copytree(finished_folder, folder / "project", symlinks=True)
        with pytest.MonkeyPatch.context() as monkeypatch:
            enter(folder / "project", monkeypatch).run(params="method=rotation")

    return made_once("compared", make) / "project"


@pytest.fixture
def compared(compared_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enter):
    folder = tmp_path / "project"
    shutil.copytree(compared_folder, folder, symlinks=True)
    return enter(folder, monkeypatch)


def client(project) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{project.root}/mlflow.db")


def runs(project) -> dict[str, str]:
    """method -> id of its pretraining"""
    found = client(project)
    every = found.search_runs([experiment.experiment_id for experiment in found.search_experiments()])
    return {run.data.tags["method"]: run.info.run_id for run in every if "method" in run.data.tags}


def numbers(project) -> dict:
    return json.loads((project.root / NUMBERS).read_text())


def compare(project, names: str) -> None:
    project.run("--pipeline=compare", params=f"compare.runs=[{names}]", tiny=False)


def test_the_newest_runs_with_scores_curves_pictures_and_what_differs(compared):
    compared.run("--pipeline=compare", tiny=False)
    found, metrics = numbers(compared), json.loads((compared.root / "data/08_reporting/metrics.json").read_text())
    assert list(found["runs"]) == ["simclr", "rotation"]
    assert found["scores"]["rotation"]["linear.top1"]["value"] == metrics["linear"]["top1"]
    [linear, *_] = found["differences"]
    scores = found["scores"]
    assert (linear["metric"], linear["of"], linear["minus"]) == ("linear.top1", "simclr", "rotation")
    assert linear["value"] == pytest.approx(scores["simclr"]["linear.top1"]["value"] - scores["rotation"]["linear.top1"]["value"])
    assert linear["low"] <= linear["value"] <= linear["high"]
    assert linear["n"] == 120
    page = (compared.root / PAGE).read_text()
    for words in (
        "2 runs on digits",
        "Linear probe",
        "Training loss",
        "Online kNN",
        "pretrain.optimizer.lr",
        "rotation: Predicted rotations.",
    ):
        assert words in page, words
    assert "runtime.threads" not in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_runs_by_prefix_name_experiment_and_folder(compared):
    known = runs(compared)
    compare(compared, f"{known['simclr'][:6]},rotation on digits")
    assert [run["MLflow run"] for run in numbers(compared)["runs"].values()] == [known["simclr"], known["rotation"]]
    client(compared).set_tag(known["simclr"], "DVC_EXP_NAME", "hasty-bream")
    compare(compared, "hasty-bream,.")
    by_name = numbers(compared)
    assert list(by_name["runs"]) == ["hasty-bream", "project"]
    assert by_name["runs"]["project"]["MLflow run"] == known["rotation"]
    assert all("why_not" not in pair for pair in by_name["differences"])


def test_a_later_evaluation_is_what_counts_and_an_experiments_own_where_there_is_one(compared, monkeypatch):
    known = runs(compared)
    compare(compared, f"{known['simclr']},{known['rotation']}")
    before = numbers(compared)["scores"]["rotation"]["knn.top1"]
    monkeypatch.setenv("DVC_EXP_NAME", "near")
    compared.run("--pipeline=knn_eval", params="method=rotation,knn_eval.k=1")
    monkeypatch.delenv("DVC_EXP_NAME")
    compare(compared, f"near,{known['rotation']}")
    found = numbers(compared)
    assert list(found["runs"]) == ["near", "rotation"]
    assert found["scores"]["rotation"]["knn.top1"] == before
    assert found["scores"]["near"]["knn.top1"]["protocol"]["k"] == 1
    assert found["scores"]["near"]["linear.top1"] == found["scores"]["rotation"]["linear.top1"]
    assert "judged by different protocols: knn_eval.k differ" in (compared.root / PAGE).read_text()


def test_other_data_is_said_not_compared(compared):
    known = runs(compared)
    client(compared).set_tag(known["simclr"], "dataset.sha256", "0" * 64)
    compared.run("--pipeline=compare", tiny=False)
    assert {pair["why_not"] for pair in numbers(compared)["differences"]} == {"not comparable: other data"}
    assert numbers(compared)["best"] == {}


def test_a_run_without_scores_is_left_out_of_the_newest_and_refused_by_name(compared, refused):
    compared.run("--pipeline=pretrain", params="seed=3")
    [new] = set(runs_of_seed(compared, "3"))
    compared.run("--pipeline=compare", tiny=False)
    assert new not in {run["MLflow run"] for run in numbers(compared)["runs"].values()}
    assert "has no scores" in refused(lambda: compare(compared, f"{new},."))


def runs_of_seed(project, seed: str) -> list[str]:
    found = client(project)
    every = found.search_runs([experiment.experiment_id for experiment in found.search_experiments()])
    return [run.info.run_id for run in every if run.data.params.get("seed") == seed]


def test_what_is_refused_in_one_line(compared, refused, tmp_path):
    known = runs(compared)
    page = (compared.root / PAGE).exists()
    for names, words in {
        "rotatoin on digits,.": [
            "compare.runs[0]='rotatoin on digits'",
            "did you mean 'rotation on digits'?",
            "allowed:",
            known["simclr"][:8],
        ],
        known["simclr"]: ["one run alone is no comparison", "2 to 10"],
        f"{known['simclr']},{known['simclr'][:9]}": ["are the same run"],
        f"{tmp_path},.": ["compare.runs[0]", "without a model"],
        ",".join("abcdefghijk"): ["compare.runs", "10"],
    }.items():
        message = refused(lambda names=names: compare(compared, names))
        assert all(word in message for word in words), message
    for run in known.values():
        client(compared).set_tag(run, "mlflow.runName", "twin")
    message = refused(lambda: compare(compared, "twin,."))
    assert "names 2 runs" in message
    assert known["rotation"][:8] in message
    assert (compared.root / PAGE).exists() is page


def test_no_store_is_no_reason_to_make_one(project, refused):
    message = refused(lambda: project.run("--pipeline=compare", tiny=False))
    assert "compare.runs=[]" in message
    assert "has 0" in message
    assert not (project.root / "mlflow.db").exists()
