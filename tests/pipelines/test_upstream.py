"""A method that stands on an earlier run, as the user gives it: a folder, a run id, an alias of the registry."""

from __future__ import annotations

import json
import shutil

import pytest
from mlflow import MlflowClient

from ssl_pipelines.orchestration.mlflow.tracking_store import default_store

STUDENT = "method=clusterfit,methods.clusterfit.num_clusters=5,pretrain.upstream.teacher="


def client(project) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{project.root}/mlflow.db")


def provenance(project) -> dict:
    return json.loads((project.root / "data/06_models/provenance.json").read_text())


def test_a_run_id_an_alias_and_a_folder_name_the_same_teacher(finished):
    teacher = provenance(finished)["mlflow_run_id"]
    shutil.copytree(finished.root / "data/06_models", finished.root / "teacher")
    finished.run("--pipeline=pretrain", params=STUDENT + teacher)
    known = provenance(finished)["upstream"]["teacher"]
    assert (known["mlflow_run_id"], known["method"], known["given"]) == (teacher, "simclr", teacher)
    scores = client(finished).get_run(teacher).data.metrics
    assert known["scores"]["linear.top1"] == scores["linear.top1"]
    run = client(finished).get_run(provenance(finished)["mlflow_run_id"])
    assert run.data.tags["upstream.teacher"] == teacher
    assert run.data.tags["upstream.teacher.fingerprint"] == known["fingerprint"]
    assert run.data.params["pretrain.upstream.teacher"] == teacher
    # The same weights under other names: nothing to do.
    client(finished).create_registered_model("encoder")
    uri = client(finished).get_run(teacher).data.tags["model_uri"]
    with default_store(f"sqlite:///{finished.root}/mlflow.db"):
        version = client(finished).create_model_version("encoder", uri, run_id=teacher).version
    client(finished).set_registered_model_alias("encoder", "champion", version)
    for name in ("models:/encoder@champion", f"models:/encoder/{version}", uri, "teacher"):
        finished.run("--pipeline=pretrain", params=STUDENT + name)
        assert "pretrain: up to date" in finished.lines, name


def test_another_teacher_makes_the_student_stale(finished):
    shutil.copytree(finished.root / "data/06_models", finished.root / "teacher")
    finished.run("--pipeline=pretrain", params=f"{STUDENT}teacher")
    path = finished.root / "teacher/encoder.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    finished.run("--pipeline=pretrain", params=f"{STUDENT}teacher")
    assert finished.said("pretrain: upstream teacher changed")


def test_the_report_shows_the_teachers_score(finished):
    teacher = provenance(finished)["mlflow_run_id"]
    finished.run("--pipeline=report", params=STUDENT + teacher)
    metrics = json.loads((finished.root / "data/08_reporting/metrics.json").read_text())
    score = client(finished).get_run(teacher).data.metrics["linear.top1"]
    assert metrics["method"] == "clusterfit"
    assert metrics["upstream"]["teacher"]["scores"]["linear.top1"] == score
    page = (finished.root / "data/08_reporting/report.html").read_text()
    assert f"simclr, linear.top1 {100 * score:.1f} %" in page


REFUSED = {
    "method=clusterfit": ("pretrain.upstream.teacher", "MLflow run id"),
    "pretrain.upstream.teacher=somewhere": ("pretrain.upstream.teacher='somewhere'", "simclr"),
    f"{STUDENT}nowhere": ("nowhere", "no model folder"),
    f"{STUDENT}{'f' * 32}": ("no such run",),
    f"{STUDENT}models:/encoder@champion": ("no such model",),
    f"{STUDENT}data/06_models": ("where this project's next model will lie", "from MLflow"),
    f"{STUDENT}data/07_model_output/finetuned": ("where this project's next model will lie", "/finetuned"),
    "method=simclr_v2_distill,pretrain.upstream.teacher=teacher": ("not fine-tuned", "runs:/<id>/finetuned"),
}


@pytest.mark.parametrize("params", REFUSED)
def test_what_is_not_there_is_refused_in_one_line(finished, refused, params):
    shutil.copytree(finished.root / "data/06_models", finished.root / "teacher")
    message = refused(lambda: finished.run("--pipeline=pretrain", params=params))
    for part in REFUSED[params]:
        assert part in message, message
    assert provenance(finished)["mlflow_run_id"], "what stood there stands"


def test_from_fine_tuning_to_the_student(finished):
    teacher = provenance(finished)["mlflow_run_id"]
    student = f"method=simclr_v2_distill,pretrain.upstream.teacher=runs:/{teacher}/finetuned"
    finished.run("--pipeline=report", params=student)
    known = provenance(finished)["upstream"]["teacher"]
    assert known["labels_seen"] > 300
    assert known["mlflow_run_id"] == teacher
    page = (finished.root / "data/08_reporting/report.html").read_text()
    assert f"trained on {known['labels_seen']} labels" in page
    finished.run("--pipeline=finetune", params=student)  # the student's own fine-tuning is not its teacher
    assert "pretrain: up to date" in finished.lines
