"""finetune: learns, repeats, trains what encode uses, and starts where it says."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation import finetune as finetune_module
from ssl_pipelines.evaluation.config import Augmentation, FinetuneConfig, FinetuneOptimizer
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.finetune import finetune, predict, train
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.methods.classifier import Classifier
from ssl_pipelines.training.model import load_classifier, load_method, random_method
from ssl_pipelines.training.runtime import RuntimeConfig
from tests.evaluation.evaluation_samples import make_model, make_store

CPU = RuntimeConfig(accelerator="cpu")
SHORT = FinetuneConfig(images_seen=1280, batch_size=64, augmentation=Augmentation(padding=1))


def run(model, store, out, config=SHORT, seed=0):
    out.mkdir()
    return {score.metric: score for score in finetune(model, store, config, seed, CPU, out)}


def test_learns_and_repeats(model, store, tmp_path):
    one, two = run(model, store, tmp_path / "one"), run(model, store, tmp_path / "two")
    assert list(one) == ["finetune.top1", "finetune.from_scratch_top1", "finetune.gain"]
    assert one["finetune.top1"].value > 0.9
    assert one["finetune.gain"].value == pytest.approx(one["finetune.top1"].value - one["finetune.from_scratch_top1"].value)
    assert one["finetune.gain"].baseline == one["finetune.from_scratch_top1"].baseline == "from_scratch"
    assert "1,280 images drawn (20 steps of 64)" in one["finetune.top1"].said
    assert "from fresh weights, same budget" in one["finetune.from_scratch_top1"].said
    assert one == two
    for name in ("finetune.json", "finetune.predictions.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    table, opened = pd.read_parquet(tmp_path / "one" / "finetune.predictions.parquet"), Store.open(store)
    assert np.array_equal(table["id"], opened.ids("test"))
    assert (table["label"] == table["prediction"]).mean() == one["finetune.top1"].value
    assert len(json.loads((tmp_path / "one" / "finetune.json").read_text())) == 3


def trained_weights(model, store, seed, before=0):
    torch.manual_seed(before)  # what was drawn earlier in the process plays no part
    torch.rand(before + 1)
    frame = Frame.of(Store.open(store), 0, "finetune")
    network = Classifier(load_method(model), 3, seed)
    train(network, frame, SHORT, seed, 3, lambda n: None)
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_weights_are_a_function_of_the_seed(model, store):
    assert torch.equal(trained_weights(model, store, 0, before=1), trained_weights(model, store, 0, before=2))
    assert not torch.equal(trained_weights(model, store, 0), trained_weights(model, store, 1))


def test_the_encoder_moves_and_the_projector_does_not(model, store):
    network = Classifier(load_method(model), 3, 0)
    before = {name: value.clone() for name, value in network.named_parameters()}
    train(network, Frame.of(Store.open(store), 0, "finetune"), SHORT, 0, 3, lambda n: None)
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith("method.projector"), name


def test_starts_from_the_pretrained_weights_and_from_fresh_ones(model, store, tmp_path, monkeypatch):
    starts = []
    monkeypatch.setattr(finetune_module, "train", lambda network, *_: starts.append(dict(network.method.named_parameters())))
    run(model, store, tmp_path / "out", seed=4)
    for found, expected in zip(starts, (load_method(model), random_method(model, 4)), strict=True):
        assert all(torch.equal(found[name], value) for name, value in expected.named_parameters())


def test_a_frozen_teacher_is_set_free(model):
    method = load_method(model)
    method.encoder.requires_grad_(False)  # as the momentum encoder of a distillation is
    network = Classifier(method, 3, 0)
    assert all(p.requires_grad for p in network.method.encoder.parameters())
    assert not any(p.requires_grad for p in network.method.projector.parameters())


def test_a_transformer_learns_too(store, tmp_path):
    model = make_model(tmp_path / "mae", "mae", {"name": "vit_mini", "patch_size": 6, "depth": 1})
    frame = Frame.of(Store.open(store), 0, "finetune")
    network = Classifier(load_method(model), 3, 0)
    train(network, frame, SHORT, 0, 120, lambda n: None)
    assert (predict(network, frame.store, frame.test) == frame.store.labels(frame.test)).mean() > 0.9
    assert not any(p.requires_grad for p in network.method.decoder.parameters())


def test_a_small_set_shrinks_the_batch(model, tmp_path):
    store = make_store(tmp_path / "s", {"train": 24, "test": 30})
    scores = run(model, store, tmp_path / "out", FinetuneConfig(images_seen=48))
    assert "48 images drawn (2 steps of 24)" in scores["finetune.top1"].said


def test_a_loss_that_is_no_number_ends_it(model, store, tmp_path):
    wild = FinetuneConfig(
        images_seen=6400, batch_size=64, optimizer=FinetuneOptimizer(name="sgd", lr=100, lr_batch=1, warmup_fraction=0)
    )
    with pytest.raises(InputError, match=r"finetune: the loss is (nan|inf) at step \d+ of 100; lower finetune.optimizer.lr=100"):
        run(model, store, tmp_path / "out", wild)
    assert not list((tmp_path / "out").iterdir())


def test_without_labels_it_does_not_apply(model, tmp_path):
    store = make_store(tmp_path / "s", {"unlabeled": 40}, classes=[])
    with pytest.raises(NotApplicable, match="finetune needs labels"):
        run(model, store, tmp_path / "out")


def test_a_fraction_of_the_labels(model, store, tmp_path):
    config = FinetuneConfig(images_seen=64, batch_size=8, labels_fraction=0.1)
    scores = run(model, store, tmp_path / "out", config)
    assert "fit 9, validation 3" in scores["finetune.top1"].said
    assert "test 60 images" in scores["finetune.top1"].said
    frame = Frame.of(Store.open(store), 0, "finetune")
    few, again, one = frame.thinned(0.1, 0), frame.thinned(0.1, 0), frame.thinned(0.0001, 0)
    assert np.array_equal(few.both, again.both)
    assert set(few.fit) <= set(frame.fit)
    assert np.bincount(frame.store.labels(few.fit)).tolist() == [3, 3, 3]
    assert np.bincount(frame.store.labels(one.fit)).tolist() == [1, 1, 1]


def test_the_network_is_left_as_a_model_folder(model, store, tmp_path):
    run(model, store, tmp_path / "out")
    network, frame = load_classifier(tmp_path / "out" / "finetuned"), Frame.of(Store.open(store), 0, "finetune")
    table = pd.read_parquet(tmp_path / "out" / "finetune.predictions.parquet")
    assert np.array_equal(predict(network, frame.store, frame.test), table["prediction"])
    body = json.loads((tmp_path / "out" / "finetuned" / "config.json").read_text())
    assert (body["num_classes"], body["labels_seen"]) == (3, len(frame.both))
