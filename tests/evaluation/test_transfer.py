"""transfer_eval's core: the answers are those of the rooms on the same features, gray is repeated, ranks are of what was answered."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import ExtractConfig, KnnConfig, LinearConfig
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.features import extract_features, reads, view_of
from ssl_pipelines.evaluation.frame import Frame
from ssl_pipelines.evaluation.knn import knn_eval
from ssl_pipelines.evaluation.linear import linear_eval
from ssl_pipelines.evaluation.protocols import described, sentence
from ssl_pipelines.evaluation.scores import Outcome
from ssl_pipelines.evaluation.transfer import Answers, Protocol, answer, can_read, read_answer, shown, transfer_scores
from ssl_pipelines.training.model import load_method
from ssl_pipelines.training.runtime import RuntimeConfig
from tests.evaluation.evaluation_samples import make_store, write_store

RUNTIME = RuntimeConfig(threads=1, accelerator="cpu")
PROTOCOL = Protocol(LinearConfig(num_values=3), KnnConfig(k=5), ExtractConfig(random_init_seeds=2), seed=4)


def answered(source, model, store, out):
    out.mkdir()
    answer(source, model, store, "final", PROTOCOL, RUNTIME, out)
    return {head: read_answer(out, head) for head in ("linear", "knn")}


def gray(folder, counts):
    """The same blobs in one channel."""
    store = make_store(folder.with_name("color"), counts)
    table = pd.read_parquet(store / "manifest.parquet")
    images = np.load(store / "images.npy")[..., :1]
    labels = table["label"].fillna(-1).astype(int).to_numpy()
    return write_store(folder, labels, table["split"].to_numpy(), images)


def test_each_source_answers_as_in_the_rooms(store, model, tmp_path):
    features = tmp_path / "features"
    features.mkdir()
    extract_features(model, store, PROTOCOL.extract, PROTOCOL.seed, RUNTIME, features)
    rooms = {}
    for room, run, config in (("linear", linear_eval, PROTOCOL.linear), ("knn", knn_eval, PROTOCOL.knn)):
        (tmp_path / room).mkdir()
        rooms[room] = {score.metric: score for score in run(features, store, config, PROTOCOL.seed, tmp_path / room)}
    sources = ["trained", "random_init/0", "random_init/1", "raw_pixels"]
    made = {source: answered(source, model, store, tmp_path / source.replace("/", "-")) for source in sources}
    labels = Store.open(store).labels(Frame.of(Store.open(store), PROTOCOL.seed, "x").test)
    for head in ("linear", "knn"):
        shares = {source: (made[source][head].predictions == labels).mean() for source in sources}
        assert rooms[head][f"{head}.top1"].value == shares["trained"]
        assert rooms[head][f"{head}.raw_pixels_top1"].value == shares["raw_pixels"]
        assert rooms[head][f"{head}.random_init_top1"].value == pytest.approx(
            (shares["random_init/0"] + shares["random_init/1"]) / 2
        )
        ours = made["trained"][head]
        assert rooms[head][f"{head}.top1"].said.startswith(sentence(ours.protocol, [ours.chosen]))
    assert not (tmp_path / "trained" / "features").exists()


def test_gray_images_are_repeated_for_an_encoder_that_takes_three(model, tmp_path):
    store, method = gray(tmp_path / "gray", {"train": 60, "test": 30}), load_method(model)
    images = torch.from_numpy(Store.open(store).gather(np.arange(5)).fields["image"])
    assert torch.equal(view_of(images, method), view_of(images.repeat(1, 1, 1, 3), method))
    outcome = answered("trained", model, store, tmp_path / "out")["linear"]
    assert outcome.protocol["images"] == {"channels": 3}
    assert sentence(outcome.protocol, [outcome.chosen]).endswith("; images gray repeated in 3 channels")
    assert "images" not in answered("raw_pixels", model, store, tmp_path / "raw")["linear"].protocol
    answered("random_init/0", model, store, tmp_path / "random")  # its batch-norm statistics come from the same images


@pytest.mark.parametrize(
    ("in_channels", "channels", "wanted"), [(3, 3, True), (3, 1, True), (1, 1, True), (1, 3, False), (4, 1, False)]
)
def test_what_an_encoder_can_be_shown(in_channels, channels, wanted):
    assert reads(in_channels, channels) is wanted


def test_another_size_is_said_and_too_many_channels_are_seen(model, tmp_path):
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 255, (40, 12, 12, 2)).astype(np.uint8)
    store = Store.open(write_store(tmp_path / "two", labels, np.repeat(["train", "test"], 20), images))
    assert not can_read(model, store)
    config = json.loads((model / "config.json").read_text())
    store.view_size, store.channels = 20, 3
    assert shown(store, model) == {"images": {"view_size": 20, "size": config["image_size"]}}


def test_without_labels_it_does_not_apply(model, tmp_path):
    store = make_store(tmp_path / "plain", {"unlabeled": 40})
    with pytest.raises(NotApplicable, match="transfer_eval needs labels"):
        answered("trained", model, store, tmp_path / "out")


def outcomes(store, seed, shares):
    """source -> Outcomes that are right on about `shares` of the test images."""
    frame, random = Frame.of(Store.open(store), 0, "x"), np.random.default_rng(seed)
    labels = frame.store.labels(frame.test)
    found = {
        source: [
            Outcome(np.where(random.random(len(labels)) < share, labels, (labels + 1) % 3), described(f"by {source}"), "final")
        ]
        * times
        for source, (share, times) in shares.items()
    }
    return frame, labels, found


def test_scores_ranks_and_names(store, tmp_path):
    second = make_store(tmp_path / "second", {"train": 60, "test": 200}, seed=5)
    answers, right = [], []
    for name, folder, ours in (("a", store, 1.0), ("b", second, 0.2)):
        shares = {"trained": (ours, 1), "random_init": (0.5, 3), "raw_pixels": (0.0, 1), "byol": (0.8, 1)}
        frame, labels, found = outcomes(folder, len(right), shares)
        right.append({source: (made[0].predictions == labels).mean() for source, made in found.items()})
        answers.append(Answers(name, frame, {"linear": found, "knn": found}))
    scores = {score.metric: score for score in transfer_scores(answers, 0)}
    assert scores["transfer.a.linear.top1"].value == 1.0
    assert scores["transfer.b.knn.byol_top1"].value == right[1]["byol"]
    assert scores["transfer.b.knn.byol_top1"].baseline == "byol"
    assert scores["transfer.b.linear.gain"].value == pytest.approx(right[1]["trained"] - right[1]["random_init"])
    assert scores["transfer.b.linear.gain"].baseline == "random_init"
    ranks = {name: scores[f"transfer.linear.{name}mean_rank"] for name in ("", "random_init_", "raw_pixels_", "byol_")}
    # a: trained, byol, random, raw; b: byol, random, trained, raw.
    assert [ranks[name].value for name in ranks] == [2.0, 2.5, 4.0, 1.5]
    assert all(rank.low <= rank.value <= rank.high and rank.n == 2 for rank in ranks.values())
    assert len(scores) == 2 * (2 * 5 + 4)


def test_no_data_set_no_scores():
    assert transfer_scores([], 0) == []
