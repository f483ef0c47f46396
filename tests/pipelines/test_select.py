"""The select room as a user runs it: half of the digits without labels, then all with them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from mlflow import MlflowClient

SIMULATE = "select.simulate=true,select.budgets=5,select.draws=2,select.pool=100"


def test_from_half_labeled_images_to_a_list_to_label(project, refused):
    with np.load(project.root / "digits.npz") as digits:
        labels = digits["labels"].copy()
        labels[200:] = -1
        np.savez(project.root / "digits.npz", images=digits["images"], labels=labels)
    project.run("--pipeline=select", params="select.count=12")
    folder = project.root / "data/11_selection"
    chosen = pd.read_parquet(folder / "select.parquet")
    manifest = pd.read_parquet(project.root / "data/02_intermediate/manifest.parquet").set_index("id")
    assert chosen["rank"].tolist() == list(range(1, 13))
    assert chosen["id"].is_unique
    assert manifest.loc[chosen["id"], "label"].isna().all()
    assert manifest.loc[chosen["id"], "path"].tolist() == chosen["path"].tolist()
    assert len(pd.read_csv(folder / "select.csv")) == 12
    assert "What to label next of digits" in (folder / "select.html").read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{project.root}/mlflow.db")
    [run] = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert "select/select.csv" in [file.path for file in client.list_artifacts(run.info.run_id, "select")]
    project.run("--pipeline=select", params="select.count=12")
    assert "select: up to date" in project.lines
    project.run("--pipeline=select", params="select.count=12,select.strategy=coreset")
    assert project.said("select: select.strategy typicality -> coreset")
    assert "Typicality over random" not in (folder / "select.html").read_text()
    table = pd.read_csv(folder / "select.csv", dtype=str)
    table.loc[0, "label"] = "seven"
    table.to_csv(folder / "select.csv", index=False)
    message = refused(lambda: project.run("--pipeline=select", params="select.count=5"))
    assert "data/11_selection/select.csv has 1 labels filled in and would be replaced" in message
    assert pd.read_csv(folder / "select.csv", dtype=str).loc[0, "label"] == "seven"


def test_fewer_images_than_the_default_asks_for(project, refused):
    with np.load(project.root / "digits.npz") as digits:
        labels = digits["labels"][:80].copy()
        labels[60:] = -1
        np.savez(project.root / "digits.npz", images=digits["images"][:80], labels=labels)
    project.run("--pipeline=select", params="pretrain.batch_size=16")
    [line] = [line for line in project.lines if line.startswith("select: defaults that were not given fit the images: ")]
    assert line.endswith("select.count 100 -> 20")
    assert len(pd.read_csv(project.root / "data/11_selection/select.csv")) == 20
    message = refused(lambda: project.run("--pipeline=select", params="pretrain.batch_size=16,select.count=100"))
    assert "select.count=100: 20 images have no label; allowed is 1 to 20" in message


def test_where_all_have_labels_the_strategies_can_be_measured(finished, refused):
    assert "select.simulate=true" in refused(lambda: finished.run("--pipeline=select"))
    assert not (finished.root / "data/11_selection").exists()
    finished.run("--pipeline=select", params=SIMULATE)
    folder = finished.root / "data/11_selection"
    rows = {row["metric"]: row for row in json.loads((folder / "select.json").read_text())}
    assert {"select.typicality.5.gain", "select.coreset.5.top1", "select.random.5.top1"} <= rows.keys()
    assert "Typicality over random" in (folder / "select.html").read_text()
    assert not (folder / "select.parquet").exists()
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.root}/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    [logged] = [run for run in runs if "select.random.5.top1" in run.data.metrics]
    assert logged.data.metrics["select.random.5.top1"] == rows["select.random.5.top1"]["value"]
