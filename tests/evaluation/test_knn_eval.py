"""knn_eval from stored features to its files, against loops over Python floats."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import KnnConfig
from ssl_pipelines.evaluation.knn import knn_eval
from tests.evaluation.evaluation_samples import make_store

NUM_CLASSES, DIM = 3, 6
SOURCES = ("trained", "random_init/0", "random_init/1", "raw_pixels")


def write_features(folder, store, spread):
    """Noise around one direction a class: the more `spread[source][stage]`, the worse. Rows have all kinds of lengths."""
    rng, opened = np.random.default_rng(5), Store.open(store)
    for source in SOURCES:
        for stage, noise in spread[source].items():
            target = folder / source / stage
            target.mkdir(parents=True)
            for split in ("train", "validation", "test"):
                ids = opened.ids(split)
                if len(ids):
                    rows = np.eye(NUM_CLASSES, DIM)[opened.labels(ids)] + noise * rng.normal(size=(len(ids), DIM))
                    np.save(target / f"{split}.npy", (rows * rng.uniform(0.1, 10, (len(ids), 1))).astype(np.float32))
                    np.save(target / f"{split}.ids.npy", ids)
    stages = [{"name": stage, "dim": DIM, "pooling": "average"} for stage in spread["trained"]]
    about = {"judged_at": "best" if len(stages) > 1 else "final", "stages": stages, "raw_pixels": {"dim": DIM, "size": 2}}
    (folder / "stages.json").write_text(json.dumps(about))
    return folder


def one_stage(trained=0.7, random=1.0, pixels=1.5):
    return {source: {"final": random} for source in SOURCES} | {"trained": {"final": trained}, "raw_pixels": {"pixels": pixels}}


def vectors(folder, source, stage):
    """id -> its vector, over all splits."""
    found = {}
    for path in (folder / source / stage).glob("*.ids.npy"):
        rows = np.load(path.with_name(path.name.replace(".ids", ""))).tolist()
        found.update(zip(np.load(path).tolist(), rows, strict=True))
    return found


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def vote(vectors_of, bank, labels, query, config):
    """The class with the largest sum of exp(cosine / T) over the k nearest of `bank`."""
    nearest = sorted(((cosine(vectors_of[query], vectors_of[i]), i) for i in bank), key=lambda pair: -pair[0])[: config.k]
    scores = [0.0] * NUM_CLASSES
    for similarity, i in nearest:
        scores[labels[i]] += math.exp(similarity / config.temperature)
    return scores.index(max(scores))


def oracle(folder, store, source, config):
    """-> the stage with the best share on validation by train alone, and the answers on test by both."""
    table = pd.read_parquet(store / "manifest.parquet")
    table = table[table["label"].notna()]
    labels = dict(zip(table["id"], table["label"].astype(int), strict=True))
    train, validation, test = (sorted(table.loc[table["split"] == split, "id"]) for split in ("train", "validation", "test"))
    shares = {}
    for stage in sorted(path.name for path in (folder / source).iterdir()):  # equal shares: the first
        known = vectors(folder, source, stage)
        shares[stage] = np.mean([vote(known, train, labels, i, config) == labels[i] for i in validation])
    best = max(shares, key=lambda stage: shares[stage])
    known = vectors(folder, source, best)
    answers = [vote(known, train + validation, labels, i, config) for i in test]
    return best, shares[best], answers, np.array(answers) == [labels[i] for i in test]


def run(features, store, config, out, seed=0):
    out.mkdir()
    scores = {score.metric: score for score in knn_eval(features, store, config, seed, out)}
    return scores, pd.read_parquet(out / "knn_eval.predictions.parquet")


@pytest.mark.parametrize("config", [KnnConfig(k=1), KnnConfig(k=7, temperature=0.5), KnnConfig(k=4000, temperature=0.1)])
def test_equals_the_loops(store, tmp_path, config):
    features = write_features(tmp_path / "f", store, one_stage())
    scores, table = run(features, store, config, tmp_path / "out")
    _, _, answers, correct = oracle(features, store, "trained", config)
    assert table["prediction"].tolist() == answers
    assert scores["knn.top1"].value == pytest.approx(correct.mean(), abs=1e-12)
    assert 0.4 < scores["knn.top1"].value < 1  # neither chance nor a task that any vote solves
    random = np.mean([oracle(features, store, f"random_init/{i}", config)[3] for i in (0, 1)])
    assert scores["knn.random_init_top1"].value == pytest.approx(random, abs=1e-12)
    assert scores["knn.raw_pixels_top1"].value == pytest.approx(oracle(features, store, "raw_pixels", config)[3].mean(), abs=1e-12)
    assert scores["knn.gain"].value == pytest.approx(correct.mean() - random, abs=1e-12)


def test_the_protocol_says_which_k_was_used(store, tmp_path):
    features = write_features(tmp_path / "f", store, one_stage())
    fitting, table = run(features, store, KnnConfig(k=120), tmp_path / "fitting")
    clipped, same = run(features, store, KnnConfig(k=121), tmp_path / "clipped")
    assert "k=120, T=0.07" in fitting["knn.top1"].said
    for metric in ("knn.top1", "knn.random_init_top1", "knn.raw_pixels_top1"):
        assert "k=120 (121 asked for), T=0.07" in clipped[metric].said
        assert "bank: fit and validation, 120 images" in clipped[metric].said
    assert table.equals(same)


def test_the_stage_is_the_best_on_validation_for_each_source(store, tmp_path):
    """Loops agree on the stage, and on the share by which it was chosen."""
    spread = one_stage() | {"trained": {"a": 0.9, "b": 0.6, "c": 0.75}}
    spread |= {f"random_init/{i}": {"a": 0.6, "b": 1.5, "c": 1.0} for i in (0, 1)}
    features, config = write_features(tmp_path / "f", store, spread), KnnConfig(k=5)
    scores, table = run(features, store, config, tmp_path / "out")
    for source, metric in (("trained", "knn.top1"), ("random_init/0", "knn.random_init_top1")):
        stage, share, _, _ = oracle(features, store, source, config)
        assert f"eval layer {stage} ({DIM} dims) of 3 layers, chosen on validation ({share:.4f})" in scores[metric].said
    assert table["prediction"].tolist() == oracle(features, store, "trained", config)[2]


def test_equal_stages_the_shallowest_is_taken(store, tmp_path):
    spread = one_stage() | {"trained": {"a": 0.8, "b": 0.8}} | {f"random_init/{i}": {"a": 1.0, "b": 1.0} for i in (0, 1)}
    features = write_features(tmp_path / "f", store, spread)
    for path in (features / "trained" / "a").iterdir():
        (features / "trained" / "b" / path.name).write_bytes(path.read_bytes())
    assert "eval layer a " in run(features, store, KnnConfig(k=5), tmp_path / "out")[0]["knn.top1"].said


def test_test_features_choose_no_stage(store, tmp_path):
    """Stage b is perfect on test and noise on validation: it must not be taken."""
    spread = one_stage() | {"trained": {"a": 0.8, "b": 3.0}} | {f"random_init/{i}": {"a": 1.0, "b": 1.0} for i in (0, 1)}
    features, opened = write_features(tmp_path / "f", store, spread), Store.open(store)
    path = features / "trained" / "b" / "test.npy"
    np.save(path, np.eye(NUM_CLASSES, DIM, dtype=np.float32)[opened.labels(opened.ids("test"))])
    scores, _ = run(features, store, KnnConfig(k=5), tmp_path / "out")
    assert "eval layer a " in scores["knn.top1"].said


def test_test_labels_move_the_score_and_nothing_else(store, tmp_path):
    spread = one_stage() | {"trained": {"a": 0.8, "b": 0.9}} | {f"random_init/{i}": {"a": 1.0, "b": 1.0} for i in (0, 1)}
    features = write_features(tmp_path / "f", store, spread)
    before, answers = run(features, store, KnnConfig(k=5), tmp_path / "before")
    table = pd.read_parquet(store / "manifest.parquet")
    test = table["split"] == "test"
    table.loc[test, "label"] = (table.loc[test, "label"] + 1) % NUM_CLASSES
    table.to_parquet(store / "manifest.parquet", index=False)
    after, same = run(features, store, KnnConfig(k=5), tmp_path / "after")
    assert same["prediction"].equals(answers["prediction"])
    assert {m: s.said for m, s in after.items()} == {m: s.said for m, s in before.items()}
    assert before["knn.top1"].value > 0.5 > after["knn.top1"].value


def test_without_a_validation_split_a_seeded_share_of_train_chooses_and_the_bank_is_all_of_train(tmp_path):
    store = make_store(tmp_path / "s", {"train": 60, "test": 30})
    spread = one_stage() | {"trained": {"a": 3.0, "b": 0.5}} | {f"random_init/{i}": {"a": 1.0, "b": 1.0} for i in (0, 1)}
    features = write_features(tmp_path / "f", store, spread)
    scores, table = run(features, store, KnnConfig(k=5), tmp_path / "out")
    protocol = scores["knn.top1"].said
    assert re.search(r"eval layer b .*bank: fit and validation, 60 images; fit 48, validation 12 \(a seeded 20% of train", protocol)
    opened = Store.open(store)
    labels = dict(zip(opened.ids("train").tolist(), opened.labels(opened.ids("train")).tolist(), strict=True))
    known = vectors(features, "trained", "b")
    bank = opened.ids("train").tolist()
    assert table["prediction"].tolist() == [vote(known, bank, labels, i, KnnConfig(k=5)) for i in opened.ids("test").tolist()]
