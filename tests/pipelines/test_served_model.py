"""The model in MLflow: loadable by its URI, equal to the pipeline's encoder, one bad row does not fail the others."""

from __future__ import annotations

import io
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow import MlflowClient
from PIL import Image

from ssl_pipelines.data import Store
from ssl_pipelines.training.model import load_method
from ssl_pipelines.views import plain_view


def test_the_encoder_embeds_a_frame_of_encoded_images(finished_folder):
    uri = f"sqlite:///{finished_folder}/mlflow.db"
    client = MlflowClient(tracking_uri=uri)
    [run] = client.search_runs([found.experiment_id for found in client.search_experiments()])
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        served = mlflow.pyfunc.load_model(run.data.tags["model_uri"])
    finally:
        mlflow.set_tracking_uri(before)
    assert served.metadata.signature.inputs.input_names() == ["image"]
    store = Store.open(finished_folder / "data/02_intermediate")
    pixels = store.gather(store.ids("test")[:3]).fields["image"]
    rows = []
    for image in pixels:
        out = io.BytesIO()
        Image.fromarray(image[..., 0]).save(out, "PNG")
        rows.append(out.getvalue())
    answer = served.predict(pd.DataFrame({"image": [rows[0], b"no image", rows[1], b"", rows[2]]}))
    method = load_method(finished_folder / "data/06_models")
    with torch.no_grad():
        expected = method.encode(plain_view(torch.from_numpy(pixels), method.image_size)).numpy()
    np.testing.assert_allclose(np.stack(answer.embedding[[0, 2, 4]].to_list()), expected, atol=1e-5)
    assert answer.embedding[[1, 3]].isna().all()
    assert answer.error[[1, 3]].notna().all()
    assert answer.error[[0, 2, 4]].isna().all()


def test_the_look_ups(enter, finished_folder, monkeypatch):
    import json

    from click.testing import CliRunner

    from ssl_pipelines.cli import cli

    enter(finished_folder, monkeypatch)
    for command, name in (("methods", "simclr"), ("datasets", "image_folder")):
        rows = json.loads(CliRunner().invoke(cli, [command, "--json"]).output)
        assert all(set(row) == {"name", "family", "paper", "needs"} for row in rows)
        assert name in [row["name"] for row in rows]
        assert name in CliRunner().invoke(cli, [command]).output


def test_changed_code_is_said_and_retrains_nothing(finished):
    from ssl_pipelines.artifacts import Record

    record = finished.root / "data/06_models/pretrain.record.json"
    found = Record.read(record)
    # As if the class had been another when the model was made.
    definitions = found.code.definitions | {"methods.contrastive.simclr.SimCLR": "0" * 16}
    replace(found, code=replace(found.code, digest="0" * 64, definitions=definitions)).write(record)
    finished.run("--pipeline=pretrain")
    assert finished.said("pretrain: up to date, but code changed since in methods.contrastive.simclr.SimCLR")
