"""The whole road, and what each command makes of what is already there."""

from __future__ import annotations

import json

from mlflow import MlflowClient

from ssl_pipelines.orchestration.stages import project_stages

EVALUATIONS = ("linear", "knn")


def client(project) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{project.root}/mlflow.db")


def runs(project):
    found = client(project)
    return found.search_runs([experiment.experiment_id for experiment in found.search_experiments()])


def test_everything_is_there_and_the_numbers_have_their_names(finished):
    metrics = json.loads((finished.root / "data/08_reporting/metrics.json").read_text())
    assert metrics["method"] == "simclr"
    assert metrics["dataset"]["name"] == "digits"
    assert len(metrics["dataset"]["sha256"]) == 64
    for room in EVALUATIONS:
        scores = metrics[room]
        assert scores["top1_low"] <= scores["top1"] <= scores["top1_high"]
        assert {"random_init_top1", "raw_pixels_top1", "gain", "gain_low", "gain_high"} <= scores.keys()
    assert {"top1", "from_scratch_top1"} <= metrics["finetune"].keys()
    assert metrics["pretrain"]["images_seen"] == 256
    assert metrics["pretrain"]["images_per_second"] > 0
    for path in (
        "08_reporting/report.html",
        "02_intermediate/manifest.parquet",
        "06_models/encoder.safetensors",
        "06_models/events.jsonl",
    ):
        assert (finished.root / "data" / path).stat().st_size > 0
    assert not list((finished.root / "data/06_models/checkpoints").glob("*/step-*.pt"))
    [top] = [run for run in runs(finished) if "mlflow.parentRunId" not in run.data.tags]
    assert metrics["mlflow_run_id"] == top.info.run_id


def test_again_is_a_no_op(finished):
    before = {
        path: path.stat().st_mtime_ns
        for path in (finished.root / "data").rglob("*")
        if path.is_file() and ".locks" not in path.parts
    }
    finished.run()
    assert all(f"{name}: up to date" in finished.lines for name in [one.name for one in project_stages().road])
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert len(runs(finished)) == 1


def test_one_run_for_the_pretraining_and_children_for_later_evaluations(finished):
    [top] = runs(finished)
    assert top.info.status == "FINISHED"
    assert top.data.params["methods.simclr.temperature"] == "0.5"
    assert top.data.tags["method"] == "simclr"
    assert {"train/loss", "watch/effective_rank", "linear.top1"} <= top.data.metrics.keys()
    data = top.inputs.dataset_inputs[0].dataset
    assert data.name == "digits"
    assert {"view_size", "stored_size", "channels", "classes", "images"} == json.loads(data.profile).keys()
    finished.run("--pipeline=knn_eval", params="knn_eval.k=7")
    [child] = [run for run in runs(finished) if run.info.run_id != top.info.run_id]
    assert child.data.tags["mlflow.parentRunId"] == top.info.run_id
    assert child.info.status == "FINISHED"
    assert "knn.top1" in child.data.metrics
    assert finished.said("knn_eval: knn_eval.k 5 -> 7")


def test_no_metric_twice(finished):
    [top] = runs(finished)
    history = client(finished).get_metric_history(top.info.run_id, "train/loss")
    steps = [point.step for point in history]
    assert steps == sorted(set(steps))
    events = [json.loads(line) for line in (finished.root / "data/06_models/events.jsonl").read_text().splitlines()]
    assert steps == [event["step"] for event in events if event["name"] == "train/loss"]


def test_ingest_and_validate_alone_open_no_run(project):
    project.run("--pipeline=validate")
    assert project.said("ingest: nothing there yet")
    assert project.said("validate: nothing there yet")
    assert not (project.root / "mlflow.db").exists()


def test_changed_method_starts_at_pretraining_and_says_why(finished):
    finished.run("--pipelines=pretrain", params="method=rotation")
    assert "ingest: up to date" in finished.lines
    assert "validate: up to date" in finished.lines
    assert finished.said("pretrain: method simclr -> rotation")
    tops = [run for run in runs(finished) if "mlflow.parentRunId" not in run.data.tags]
    assert {run.data.tags["method"] for run in tops} == {"simclr", "rotation"}


def test_a_threshold_that_changes_no_verdict_makes_nothing_else_stale(finished):
    finished.run(params="validate.images.min=40")
    assert finished.said("validate: validate.images.min 32 -> 40")
    assert "pretrain: up to date" in finished.lines


def test_mae_and_its_reconstructions(project):
    project.run("--pipeline=report", params="method=mae,backbone.depth=2,methods.mae.decoder_depth=1")
    metrics = json.loads((project.root / "data/08_reporting/metrics.json").read_text())
    assert metrics["method"] == "mae"
    assert (project.root / "data/06_models/pictures/reconstructions.png").is_file()
