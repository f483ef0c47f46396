"""The few_labels room as a user runs it: on request alone, a page and scores of its own, MLflow, and nothing of it in the report."""

from __future__ import annotations

import json

from click.testing import CliRunner
from mlflow import MlflowClient

QUICK = (
    "few_labels.shots=1,few_labels.fractions=0.1,few_labels.draws=2,few_labels.l2_values=3,few_labels.finetune.draws=1,"
    "few_labels.finetune.images_seen=64"
)


def test_a_page_and_scores_and_then_nothing_to_do(finished, refused):
    folder = finished.root / "data/07_model_output/few_labels"
    assert not folder.exists(), "on request alone"
    finished.run("--pipeline=few_labels", params=QUICK)
    assert "pretrain: up to date" in finished.lines
    names = {row["metric"] for row in json.loads((folder / "few_labels.json").read_text())}
    assert {
        "few_labels.1shot.linear.top1",
        "few_labels.1shot.prototype.raw_pixels_top1",
        "few_labels.10pct.finetune.gain_over_from_scratch",
    } <= names
    page = (folder / "few_labels.html").read_text()
    assert "With 10 % of the labels (" in page
    assert (folder / "few_labels_linear.png").is_file()
    client = MlflowClient(tracking_uri=f"sqlite:///{finished.root}/mlflow.db")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    [child] = [run for run in runs if "few_labels.1shot.linear.top1" in run.data.metrics]
    assert child.data.tags["mlflow.parentRunId"]
    assert "few_labels.html" in {file.path.rpartition("/")[2] for file in client.list_artifacts(child.info.run_id, "few_labels")}
    finished.run("--pipeline=few_labels", params=QUICK)
    assert "few_labels: up to date" in finished.lines
    from ssl_pipelines.cli import trace

    for place in ([], ["--run", child.data.tags["mlflow.parentRunId"]]):
        traced = CliRunner().invoke(trace, ["few_labels.1shot.linear.top1", "--json", *place])
        assert {link["state"] for link in json.loads(traced.output)["links"]} == {"holds"}, traced.output
    before = (folder / "few_labels.json").read_bytes()
    message = refused(lambda: finished.run("--pipeline=few_labels", params=f"{QUICK},few_labels.eval_layer=layer9"))
    assert "few_labels.eval_layer='layer9' is unknown" in message
    assert (folder / "few_labels.json").read_bytes() == before
