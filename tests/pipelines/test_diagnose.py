"""The diagnose room as a user runs it on the digits: numbers, where they are shown, and when they are made anew."""

from __future__ import annotations

import json

from mlflow import MlflowClient

WANTED = {
    "alignment",
    "uniformity",
    "rankme",
    "projection_rankme",
    "lidar",
    "alpha",
    "invariance_crop",
    "neighbor_purity",
    "kmeans_nmi",
}


def test_numbers_are_in_files_metrics_mlflow_and_the_report(finished):
    rows = json.loads((finished.root / "data/07_model_output/diagnose.json").read_text())
    names = {row["metric"].removeprefix("diagnose.") for row in rows}
    assert names >= WANTED | {f"random_init_{name}" for name in WANTED} | {"raw_pixels_alignment"}
    assert "invariance_grayscale" not in names  # digits have no color
    metrics = json.loads((finished.root / "data/08_reporting/metrics.json").read_text())["diagnose"]
    assert {row["metric"].removeprefix("diagnose."): row["value"] for row in rows}.items() <= metrics.items()
    assert metrics["alignment_low"] <= metrics["alignment"] <= metrics["alignment_high"]
    assert "rankme_low" not in metrics
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.root}/mlflow.db")
    [run] = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert {f"diagnose.{name}" for name in WANTED} <= run.data.metrics.keys()
    page = (finished.root / "data/08_reporting/report.html").read_text()
    assert "Invariance to cropping" in page
    assert {"spectrum.png", "invariances.png"} <= {path.name for path in (finished.root / "data/08_reporting/figures").iterdir()}


def test_it_is_made_anew_when_its_parameters_change_and_not_otherwise(finished):
    finished.run("--pipeline=diagnose")
    assert "diagnose: up to date" in finished.lines
    finished.run("--pipeline=diagnose", params="diagnose.views=3")
    assert finished.said("diagnose: diagnose.views 2 -> 3")
    assert "extract_features: up to date" in finished.lines
    assert "linear_eval: up to date" in finished.lines, "it says at which layer"


def test_a_stage_that_is_not_there_is_refused_in_one_line(finished, refused):
    message = refused(lambda: finished.run("--pipeline=diagnose", params="diagnose.eval_layer=layer9"))
    assert "diagnose.eval_layer='layer9' is unknown" in message
    assert "final" in message


def test_unlabeled_images_are_diagnosed(project):
    import numpy as np

    with np.load(project.root / "digits.npz") as digits:
        np.savez(project.root / "plain.npz", images=digits["images"][:200])
    project.run("--pipeline=diagnose", params="dataset.root=plain.npz")
    names = {row["metric"] for row in json.loads((project.root / "data/07_model_output/diagnose.json").read_text())}
    assert "diagnose.alignment" in names
    assert "diagnose.neighbor_purity" not in names
