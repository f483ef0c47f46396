"""What is embedded, served and exported is what was scored: every method, at the layer that its score was made at, in every way out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from urllib.request import Request, urlopen

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image

from small_runs import method_names
from ssl_pipelines.artifacts import InputError, Record, read_json, write_json
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.eval_layer import NOTE, eval_layers, named_final, write_eval_layer
from ssl_pipelines.evaluation.export.images import real_images
from ssl_pipelines.inference.embeddings import Embeddings
from ssl_pipelines.inference.encoder import ImageEncoder
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.orchestration.mlflow.registry import Registry
from ssl_pipelines.orchestration.models.named import find_model
from ssl_pipelines.orchestration.models.scores import model_eval_layer, stage_eval_layer
from ssl_pipelines.orchestration.parameters import Parameters
from ssl_pipelines.orchestration.stages import project_stages
from ssl_pipelines.pipelines.promote.promotion import Candidate
from ssl_pipelines.training.model import load_method
from ssl_pipelines.views.plain import plain_view
from tests.evaluation.export.test_formats import FEW_IMAGES, model_folder
from tests.orchestration.test_promotion import judged, parameters, promote, tracker
from tests.pipelines.test_serving import JSON, application, base64_of, embeddings, free_port, records, serve_command, wait_for
from tests.stage_calls import call

COUNT = 3
CHANGES = FEW_IMAGES | {"pixelrnn": {"depth": 3}}  # the small one has a single layer
CHOSEN = sorted(name for name in method_names() if method_class(name).judged_at == "best")
FEW = ("counting", "autoencoder")  # a middle layer of the encoder; one that needs more than the encoder


class Scored:
    """A model whose score was made at another layer than `encode` gives, where its method has several; and images with their features."""

    def __init__(self, folder: Path, store: Path, name: str):
        self.folder, self.store = model_folder(folder, store, name, methods={name: CHANGES.get(name, {})}), store
        method, opened = load_method(self.folder), Store.open(store)
        self.pixels = opened.gather(opened.pretraining_ids()[:COUNT]).fields["image"]
        with torch.no_grad():
            images = plain_view(torch.from_numpy(self.pixels), method.image_size)
            layers = method.stages(images)
            self.final = named_final(layers, method.encode(images))
            self.layer = next((layer for layer in reversed(layers) if layer != self.final), "final")
            self.expected = method.encode(images, self.layer).numpy()

    def pictures(self, folder: Path) -> Path:
        folder.mkdir()
        for i, image in enumerate(self.pixels):
            Image.fromarray(image).save(folder / f"{i}.png")
        return folder

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.folder, self.store, judged(300, layer=self.layer))


def asked(**blocks) -> Parameters:
    return Parameters.of({"pretrain": {"images_seen": 128}, **blocks})


def same(found, wanted) -> None:
    assert np.asarray(found).shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def finished(home: Path, scored: Scored) -> None:
    """The project as training and linear_eval leave it, without having run them."""
    shutil.copytree(scored.folder, home / project_stages()["pretrain"].folder)
    scores = home / project_stages()["linear_eval"].folder
    scores.mkdir(parents=True)
    write_json(scores / "linear_eval.json", list(judged(300, layer=scored.layer).scores))
    for name, inputs in (("pretrain", {}), ("extract_features", {"model": "m"}), ("linear_eval", {"features": "f"})):
        path = home / project_stages()[name].record
        path.parent.mkdir(parents=True, exist_ok=True)
        Record({}, inputs, fingerprint={"pretrain": "m", "extract_features": "f"}.get(name, "s")).write(path)


@pytest.mark.parametrize("name", method_names())
def test_embedded_and_served_as_scored(home, photos, name, monkeypatch, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    scored = Scored(home / "model", photos, name)
    assert (scored.layer != "final") == (name in CHOSEN)
    finished(home, scored)
    images = scored.pictures(home / "images")
    call("embed", asked(embed={"source": "images", "output": "e.parquet"}))
    table = Embeddings.open("e", home / "e.parquet")
    assert table.about["eval_layer"] == scored.layer
    assert f"embed: eval layer {scored.layer}, " in caplog.text
    same(np.stack(pd.read_parquet(home / "e.parquet").embedding), scored.expected)
    # As the logged model is loaded: in Python, and by the server.
    from ssl_pipelines.orchestration.mlflow.served_encoder import ServedEncoder

    write_eval_layer(scored.folder, scored.layer)
    served = ServedEncoder()
    served.load_context(SimpleNamespace(artifacts={"model": str(scored.folder)}, model_config={"eval_layer": None}))
    assert f"serving: eval layer {scored.layer}, " in caplog.text
    contents = [path.read_bytes() for path in sorted(images.iterdir())]
    same(np.stack(served.predict(None, pd.DataFrame({"image": contents})).embedding), scored.expected)
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    same(np.stack(served.predict(None, pd.DataFrame({"image": [base64_of(one) for one in contents]})).embedding), scored.expected)


def every_way_out(home: Path, scored: Scored, monkeypatch) -> None:
    """Promoted, then by models:/ in Python, over MLflow's server application, by the embed tool, and as ONNX."""
    promote(scored.candidate, parameters())
    version = Registry(tracker(), "encoder").version("1")
    assert version.tags["eval_layer"] == scored.layer
    images = scored.pictures(home / "images")
    contents = [path.read_bytes() for path in sorted(images.iterdir())]
    mlflow.set_tracking_uri(tracker().uri)
    loaded = mlflow.pyfunc.load_model("models:/encoder@champion")
    assert loaded.metadata.metadata["eval_layer"] == scored.layer
    same(np.stack(loaded.predict(pd.DataFrame({"image": contents})).embedding), scored.expected)
    with monkeypatch.context() as serving:
        serving.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
        status, text = application(loaded)(JSON, records(*map(base64_of, contents)))
        assert status == 200, text
        same(embeddings(text), scored.expected)
    found = find_model("embed.model", "models:/encoder@champion", tracker())
    assert found.fingerprint == scored.candidate.facts["fingerprint"], "the layer is no part of what a model computes"
    same(ImageEncoder(found.folder).embed_contents(contents).vectors, scored.expected)
    tools = asked(
        embed={"source": "images", "model": "@champion", "output": "e.parquet"}, export={"model": "@champion", "folder": "out"}
    )
    call("embed", tools)
    same(np.stack(pd.read_parquet(home / "e.parquet").embedding), scored.expected)
    call("export", tools)
    note, described = read_json(home / "out/export.json"), read_json(home / "out/config.json")
    assert (note["eval_layer"], described["eval_layer"]) == (scored.layer, scored.layer)
    assert f"from eval layer `{scored.layer}`" in (home / "out/README.md").read_text()
    if "encoder.onnx" not in note["missing"]:
        session = onnxruntime.InferenceSession(str(home / "out/encoder.onnx"), providers=["CPUExecutionProvider"])
        assert session.get_modelmeta().custom_metadata_map["eval_layer"] == scored.layer
        method = load_method(scored.folder)
        views = plain_view(torch.from_numpy(scored.pixels), method.image_size)
        same(session.run(["embeddings"], {"images": views.numpy()})[0], scored.expected)


@pytest.mark.parametrize("name", FEW)
def test_every_way_out(home, photos, name, monkeypatch):
    every_way_out(home, Scored(home / "model", photos, name), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*method_names()} - {*FEW}))
def test_every_way_out_of_every_other_method(home, photos, name, monkeypatch):
    every_way_out(home, Scored(home / "model", photos, name), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["counting", "made"])
def test_a_real_server_answers_at_the_layer_that_was_scored(home, photos, name):
    scored = Scored(home / "model", photos, name)
    promote(scored.candidate, parameters())
    contents = [path.read_bytes() for path in sorted(scored.pictures(home / "images").iterdir())]
    port, log = free_port(), home / "server.log"
    with log.open("wb") as out:
        command = ["bash", "-c", serve_command(port)]
        server = subprocess.Popen(command, cwd=home, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, 400, log)
        asked_for = Request(f"http://127.0.0.1:{port}/invocations", records(*map(base64_of, contents)), {"Content-Type": JSON})
        with urlopen(asked_for, timeout=300) as answer:
            same(embeddings(answer.read().decode()), scored.expected)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def test_what_an_export_needs_to_give_its_layer(home, photos):
    """The code of an autoencoder is made by layers that encoder.safetensors has not: weights of chance would stand there unseen."""
    scored = Scored(home / "model", photos, "autoencoder")
    assert scored.layer == "code"
    call("export", asked(export={"model": "model", "folder": "out", "eval_layer": "code"}))
    assert (home / "out/method.safetensors").is_file()
    method = load_method(scored.folder)
    images = real_images(photos, 3, method.image_size)
    session = onnxruntime.InferenceSession(str(home / "out/encoder.onnx"), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        same(session.run(["embeddings"], {"images": images.numpy()})[0], method.encode(images, "code").numpy())
        same(load_method(home / "out").encode(images, "code"), method.encode(images, "code").numpy())


def test_another_layer_on_request(home, photos):
    scored = Scored(home / "model", photos, "counting")
    promote(scored.candidate, parameters())
    images = scored.pictures(home / "images")
    contents = [path.read_bytes() for path in sorted(images.iterdir())]
    wanted = ImageEncoder(scored.folder, eval_layer="layer1").embed_contents(contents).vectors
    assert wanted.shape != scored.expected.shape
    mlflow.set_tracking_uri(tracker().uri)
    loaded = mlflow.pyfunc.load_model("models:/encoder@champion", model_config={"eval_layer": "layer1"})
    same(np.stack(loaded.predict(pd.DataFrame({"image": contents})).embedding), wanted)
    with pytest.raises(
        InputError, match=r"^embed.eval_layer='hidden1' is unknown. Allowed: final, layer1, layer2, layer3, layer4$"
    ):
        call("embed", asked(embed={"source": "images", "model": "@champion", "eval_layer": "hidden1"}))
    with pytest.raises(
        InputError, match=r"^export.eval_layer='hidden1' is unknown. Allowed: final, layer1, layer2, layer3, layer4$"
    ):
        call("export", asked(export={"model": "@champion", "eval_layer": "hidden1"}))
    assert not (home / "data/12_embeddings").exists(), "nothing half-written"
    assert not (home / "data/09_export").exists(), "nothing half-written"


def test_a_model_of_an_earlier_version_is_served_at_final_with_one_line(home, photos, caplog):
    scored = Scored(home / "model", photos, "counting")
    described = read_json(scored.folder / "config.json")
    del described["eval_layer"]
    write_json(scored.folder / "config.json", described)
    scored.pictures(home / "images")
    call("embed", asked(embed={"source": "images", "model": "model", "output": "e.parquet"}))
    assert Embeddings.open("e", home / "e.parquet").about["eval_layer"] == "final"
    lines = [record.getMessage() for record in caplog.records if record.name == "ssl_pipelines" and record.levelname == "WARNING"]
    assert lines == ["embed: eval layer final, what `encode` gives: no evaluation of this model is known"]
    caplog.clear()
    assert ImageEncoder(scored.folder).eval_layer == "final"
    [line] = [record.getMessage() for record in caplog.records]
    assert "records no eval layer" in line


def test_the_note_of_a_layer_is_checked(home, photos):
    scored = Scored(home / "model", photos, "counting")
    (scored.folder / NOTE).write_text('{"eval_layer": "hidden1"}')
    with pytest.raises(InputError, match=r"eval_layer='hidden1' is unknown. Allowed: final, layer1"):
        ImageEncoder(scored.folder)
    (scored.folder / NOTE).write_text("[]")
    with pytest.raises(InputError, match=r"eval_layer\.json: a mapping with the key eval_layer"):
        ImageEncoder(scored.folder)


def test_where_the_layer_of_a_model_comes_from(home, photos, caplog):
    """In this order: what the user says, what the model records, the scores that lie here, those that MLflow has, `final`."""
    caplog.set_level("INFO", "ssl_pipelines")
    scored = Scored(home / "model", photos, "counting")
    finished(home, scored)
    here = find_model("embed.model", str(home / project_stages()["pretrain"].folder), tracker())
    assert model_eval_layer("embed", "layer1", here, tracker()) == "layer1"
    assert model_eval_layer("embed", None, here, tracker()) == scored.layer
    assert f"embed: eval layer {scored.layer}, at which the model was scored" in caplog.messages
    shutil.rmtree(home / "data/07_model_output")
    assert model_eval_layer("embed", None, here, tracker()) == "final"
    # Scores that were made on other weights say nothing of these.
    finished_elsewhere = home / project_stages()["linear_eval"].record
    finished_elsewhere.parent.mkdir(parents=True)
    Record({}, {"features": "of another model"}, fingerprint="s").write(finished_elsewhere)
    write_json(finished_elsewhere.parent / "linear_eval.json", list(judged(300, layer="layer1").scores))
    assert model_eval_layer("embed", None, here, tracker()) == "final"
    of_run = tracker()
    of_run.open_evaluation({}, "evaluation", {})
    of_run.metrics([("linear.top1", 0.5, 0)])
    for tag, layer in (("stage.linear_eval", "layer1"), ("eval_layer.linear_eval", "layer2")):
        of_run.tags({tag: layer})  # the former in runs of earlier versions
        again = find_model("embed.model", str(home / "model"), tracker())
        found = type(again)(again.given, again.folder, again.facts, of_run.run_id)
        assert model_eval_layer("embed", None, found, tracker()) == layer


def test_the_layer_of_a_stage(tmp_path, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    model = tmp_path / "model"
    model.mkdir()
    for judged_at, wanted in (("final", "final"), ("best", "layer2")):
        (model / "config.json").write_text(json.dumps({"judged_at": judged_at}))
        rows = [{"metric": "linear.top1", "value": 0.5, "eval_layer": "layer2"}] if judged_at == "best" else []
        (tmp_path / "linear_eval.json").write_text(json.dumps(rows))
        assert stage_eval_layer("select", None, tmp_path, model) == wanted
    assert stage_eval_layer("select", "layer1", tmp_path, model) == "layer1"
    assert caplog.messages[-1] == "select: eval layer layer1, as select.eval_layer says"
    (tmp_path / "linear_eval.json").write_text("[]")
    assert stage_eval_layer("select", None, tmp_path, model) == "final"
    assert "linear_eval had no labels to choose one by" in caplog.messages[-1]


@pytest.mark.parametrize("name", ["autoencoder", "igpt", "made", "pixelcnn", "pixelrnn", "vae", "vq_vae"])
def test_final_is_not_the_deepest_layer_of_these(photos, tmp_path, name):
    method = load_method(model_folder(tmp_path / "model", photos, name))
    images = torch.rand(2, 3, method.image_size, method.image_size)
    with torch.no_grad():
        layers = method.stages(images)
        found = named_final(layers, method.encode(images))
        assert found is not None
        assert torch.equal(layers[found], method.encode(images))
    assert set(eval_layers(method)) == {*layers, "final"}
