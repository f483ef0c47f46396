"""The transfer_eval room as a user runs it: two data sets and one without labels, another model beside, killed and run again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from mlflow import MlflowClient

from projects import write_digits, write_photos

SETS = "transfer_eval.linear.num_values=3,transfer_eval.datasets.digits.reader=npz,transfer_eval.datasets.digits.root=other.npz"
PLAIN = ",transfer_eval.datasets.plain.reader=npz,transfer_eval.datasets.plain.root=plain.npz"


@pytest.fixture
def ready(finished):
    """A trained project beside 200 other digits, and 60 without labels."""
    write_digits(finished.root / "other.npz", 200, seed=9)
    with np.load(finished.root / "other.npz") as digits:
        np.savez(finished.root / "plain.npz", images=digits["images"][:60])
    return finished


def result(project, name="transfer_eval.json"):
    return json.loads((project.root / "data/10_transfer" / name).read_text())


def scores(project):
    return {row["metric"]: row for row in result(project)}


def test_scores_page_and_mlflow_and_what_is_skipped_is_said(ready):
    ready.run("--pipeline=transfer_eval", params=SETS + PLAIN)
    assert ready.said("transfer_eval: plain skipped", "needs labels")
    found = scores(ready)
    top = found["transfer.digits.linear.top1"]
    assert top["low"] <= top["value"] <= top["high"]
    assert top["n"] == 40
    assert {
        "transfer.digits.knn.gain",
        "transfer.digits.linear.raw_pixels_top1",
        "transfer.linear.random_init_mean_rank",
    } <= found.keys()
    assert {one["name"]: bool(one["skipped"]) for one in result(ready, "transfer_eval.datasets.json")} == {
        "digits": False,
        "plain": True,
    }
    assert all(one["size"] == 16 for one in result(ready, "transfer_eval.datasets.json")), "the project's own size"
    page = (ready.root / "data/10_transfer/transfer_eval.html").read_text()
    assert "plain (skipped)" in page
    assert "Mean rank" in page
    client = MlflowClient(tracking_uri=f"sqlite:///{ready.root}/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    [logged] = [run for run in runs if "transfer.digits.linear.top1" in run.data.metrics]
    assert logged.data.metrics["transfer.digits.linear.top1"] == top["value"]
    assert "mlflow.parentRunId" in logged.data.tags
    # Again: nothing to do, and the line about what was skipped is said again.
    ready.run("--pipeline=transfer_eval", params=SETS + PLAIN)
    assert "transfer_eval: up to date" in ready.lines
    assert ready.said("transfer_eval: plain skipped")


def test_an_interrupted_room_goes_on_and_another_model_is_a_column(ready, monkeypatch):
    from ssl_pipelines.pipelines.transfer_eval import transfer

    real, made = transfer.answer, []

    def answer(source, *rest):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(source)
        real(source, *rest)

    monkeypatch.setattr(transfer, "answer", answer)
    with pytest.raises(Exception, match="interrupted"):
        ready.run("--pipeline=transfer_eval", params=SETS)
    assert made == ["trained", "random_init/0"]
    assert not (ready.root / "data/10_transfer/transfer_eval.json").exists()
    monkeypatch.setattr(transfer, "answer", lambda source, *rest: (made.append(source), real(source, *rest)))
    ready.run("--pipeline=transfer_eval", params=SETS)
    assert made == ["trained", "random_init/0", "raw_pixels"]
    # The same weights as another model: the same score and half a rank each.
    shutil.copytree(ready.root / "data/06_models", ready.root / "twin")
    ready.run("--pipeline=transfer_eval", params=SETS + ",transfer_eval.models.twin=twin")
    assert made == ["trained", "random_init/0", "raw_pixels", "trained"]
    found = scores(ready)
    assert found["transfer.digits.linear.twin_top1"]["value"] == found["transfer.digits.linear.top1"]["value"]
    assert found["transfer.linear.twin_mean_rank"]["value"] == found["transfer.linear.mean_rank"]["value"]
    # Other settings: every answer is made anew, the data is not.
    ready.run("--pipeline=transfer_eval", params=SETS + ",transfer_eval.knn.k=3")
    assert made[4:] == ["trained", "random_init/0", "raw_pixels"]
    assert not ready.said("reading")


def test_colors_for_an_encoder_of_gray_are_refused_with_what_to_give(ready, refused):
    write_photos(ready.root / "photos.npz", 80, 16)
    photos = "transfer_eval.datasets.photos.reader=npz,transfer_eval.datasets.photos.root=photos.npz"
    message = refused(lambda: ready.run("--pipeline=transfer_eval", params=photos))
    assert "transfer_eval.datasets.photos.channels: its images have 3 channels, this encoder reads 1" in message
    ready.run(
        "--pipeline=transfer_eval", params=f"{photos},transfer_eval.datasets.photos.channels=1,transfer_eval.linear.num_values=3"
    )
    assert "transfer.photos.linear.top1" in scores(ready)


def test_nothing_is_trained_before_its_data_is_found(project, refused):
    message = refused(lambda: project.run("--pipeline=transfer_eval", params=SETS))
    assert "transfer_eval.datasets.digits.root=" in message
    assert "transfer_eval.datasets is empty" in refused(lambda: project.run("--pipeline=transfer_eval"))
    assert not (project.root / "data/02_intermediate").exists()


def test_where_all_is_skipped_the_command_fails_and_says_why(ready, refused):
    message = refused(lambda: ready.run("--pipeline=transfer_eval", params=PLAIN.removeprefix(",")))
    assert "none of the data sets can be scored" in message
    assert result(ready) == []
    assert "plain (skipped)" not in (ready.root / "data/10_transfer/transfer_eval.html").read_text()
