"""What an evaluation stage leaves behind: its files and record; a note where it could not be done, and none any more once it can."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from ssl_pipelines.artifacts import Artifact, InputError
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.features import extract_features
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.session import Session
from ssl_pipelines.training.runtime import RuntimeConfig
from tests.evaluation.evaluation_samples import make_model, make_store
from tests.stage_calls import call

SMALL = {"images": 30, "view_images": 12, "views": 2}


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """store, model and features of a project in which nothing has been scored, and a call of the stage diagnose."""
    (tmp_path / "pyproject.toml").write_text("[tool.kedro]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    model = make_model(tmp_path / "model")

    def run(counts, name, session=None, **changes):
        store, features = tmp_path / f"store-{name}", tmp_path / f"features-{name}"
        if not store.exists():
            make_store(store, counts)
            features.mkdir()
            extract_features(model, store, ExtractConfig(random_init_seeds=1), 0, RuntimeConfig(accelerator="cpu"), features)
        parameters = {
            "method": "simclr",
            "pretrain": {"images_seen": 64},
            "dataset": {"size": 12},
            "diagnose": SMALL | changes,
            "runtime": {"accelerator": "cpu"},
        }
        return call(
            "diagnose",
            Parameters.of(parameters),
            session or Session(),
            store=Artifact(store, name),
            model=Artifact(model, "model"),
            features=Artifact(features, name),
            linear_scores=Artifact(tmp_path / "none", "unscored"),
        )

    return run


def test_numbers_then_nothing_to_do_then_a_reason(inputs, tmp_path, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    made = inputs({"train": 40, "test": 9}, "a")
    folder = tmp_path / "data/07_model_output"
    assert made.path == folder
    assert "diagnose.alignment" in {row["metric"] for row in json.loads((folder / "diagnose.json").read_text())}
    record = json.loads((folder / "diagnose.record.json").read_text())
    assert record["inputs"] == {"store": "a", "model": "model", "features": "a", "linear_scores": "unscored"}
    assert record["parameters"]["diagnose.views"] == 2
    assert "methods.contrastive.simclr.SimCLR" in record["code"]["definitions"]
    assert inputs({}, "a").fingerprint == made.fingerprint
    assert caplog.messages[-1] == "diagnose: up to date"
    assert inputs({}, "a", views=3).fingerprint != made.fingerprint
    assert "diagnose: diagnose.views 2 -> 3" in caplog.messages


def test_what_cannot_be_done_is_noted_until_it_can(inputs, tmp_path):
    folder = tmp_path / "data/07_model_output"
    session = Session()
    inputs({"train": 8, "test": 20}, "few", session)
    assert "needs at least 10 images" in session.skipped["diagnose"]
    assert json.loads((folder / "diagnose.json").read_text()) == []
    assert pd.read_parquet(folder / "diagnose.spectra.parquet").columns.tolist() == ["source", "rank", "eigenvalue"]
    session = Session()
    inputs({}, "few", session)  # up to date, and still said
    assert "diagnose" in session.skipped
    session = Session()
    inputs({"train": 40, "test": 9}, "enough", session)
    assert session.skipped == {}
    assert json.loads((folder / "diagnose.json").read_text())


def test_a_layer_that_is_not_there_leaves_the_former_numbers(inputs, tmp_path):
    inputs({"train": 40, "test": 9}, "a")
    before = (tmp_path / "data/07_model_output/diagnose.json").read_bytes()
    with pytest.raises(InputError, match=r"diagnose\.eval_layer='layer9' is unknown"):
        inputs({}, "a", eval_layer="layer9")
    assert (tmp_path / "data/07_model_output/diagnose.json").read_bytes() == before
