"""Retrieval and map against loops and known geometry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ssl_pipelines.reporting import neighbors
from ssl_pipelines.reporting.embedding_map import place, sample
from ssl_pipelines.reporting.inputs import Features, Scores
from ssl_pipelines.reporting.neighbors import choose, nearest, retrieve
from tests.reporting import report_inputs


@pytest.mark.parametrize("block", [3, 7, 100])
def test_nearest_matches_loops_whatever_the_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", block)
    rng = np.random.default_rng(0)
    bank, queries, ids = rng.normal(size=(20, 5)), rng.normal(size=(4, 5)), np.arange(100, 120)
    cosines, found = nearest(bank, ids, queries, np.full(4, -1), 6)
    for query, values, names in zip(queries, cosines, found, strict=True):
        oracle = [query @ row / np.sqrt((query @ query) * (row @ row)) for row in bank]
        order = sorted(range(20), key=lambda i: -oracle[i])[:6]
        assert names.tolist() == [100 + i for i in order]
        assert values == pytest.approx([oracle[i] for i in order], rel=1e-12)


def test_an_image_is_not_its_own_neighbor() -> None:
    rows = np.eye(4)
    _, found = nearest(rows, np.arange(4), rows, np.arange(4), 3)
    assert all(query not in names for query, names in enumerate(found))
    _, found = nearest(rows, np.arange(4), rows, np.full(4, -1), 1)
    assert found[:, 0].tolist() == [0, 1, 2, 3]


def test_each_class_is_shown_before_one_is_shown_twice() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 2)
    for seed in range(5):
        assert sorted(labels[choose(labels, 3, seed)]) == [0, 1, 2]
        assert sorted(labels[choose(labels, 6, seed)]) == [0, 0, 1, 1, 2, 2]
    assert choose(labels, 3, 0).tolist() == choose(labels, 3, 0).tolist()
    assert {tuple(choose(labels, 3, seed)) for seed in range(9)} != {tuple(choose(labels, 3, 0))}
    assert len(choose(labels, 99, 0)) == 55


def test_test_images_are_looked_up_in_train(tmp_path: Path) -> None:
    report_inputs.make_store(tmp_path / "store", 100, True, report_inputs.CLASSES)
    report_inputs.make_features(tmp_path / "features", tmp_path / "store")
    features = Features(tmp_path / "features")
    found = retrieve(features, lambda ids: np.zeros(len(ids), dtype=np.int64), 5, 4, seed=0)
    assert found is not None
    assert (found.query_split, found.bank_split, found.neighbors.shape) == ("test", "train", (5, 4))
    assert set(found.queries) <= set(features.read("test")[1])
    assert set(found.neighbors.ravel()) <= set(features.read("train")[1])
    assert (np.diff(found.cosines, axis=1) <= 0).all()


def test_one_split_alone_is_looked_up_in_itself(tmp_path: Path) -> None:
    report_inputs.make_store(tmp_path / "store", 40, False, [])
    report_inputs.make_features(tmp_path / "features", tmp_path / "store")
    found = retrieve(Features(tmp_path / "features"), lambda ids: np.full(len(ids), -1), 40, 99, seed=0)
    assert found is not None
    assert found.neighbors.shape == (40, 39)
    assert all(query not in names for query, names in zip(found.queries, found.neighbors, strict=True))


@pytest.mark.parametrize("kind", ["tsne", "pca"])
def test_the_map_keeps_clusters_apart_and_repeats(kind: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    rows = np.eye(3, 20)[labels] * 3 + rng.normal(0, 0.1, (120, 20))
    points = place(rows, kind, seed=1)  # type: ignore[arg-type]
    assert points.shape == (120, 2)
    centers = np.stack([points[labels == label].mean(0) for label in range(3)])
    nearest_center = ((points[:, None] - centers[None]) ** 2).sum(-1).argmin(1)
    assert (nearest_center == labels).all()
    assert np.array_equal(points, place(rows, kind, seed=1))  # type: ignore[arg-type]


def test_a_collapsed_embedding_still_makes_a_map() -> None:
    assert np.isfinite(place(np.ones((20, 8)), "tsne", seed=0)).all()


def test_the_sample_is_seeded_and_not_larger_than_what_there_is() -> None:
    assert sample(100, 10, 0).tolist() == sample(100, 10, 0).tolist() != sample(100, 10, 1).tolist()
    assert len(set(sample(100, 10, 0))) == 10
    assert sample(7, 10, 0).tolist() == list(range(7))


def test_what_is_shown_is_of_the_stage_that_the_probe_chose(tmp_path):
    rows = [
        {"metric": "linear.top1", "value": 0.5, "eval_layer": "layer2"},
        {"metric": "linear.gain", "value": 0.1, "eval_layer": None},
    ]
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "linear_eval.json").write_text(json.dumps(rows))
    (tmp_path / "stages.json").write_text(json.dumps({"stages": [{"name": name} for name in ("layer1", "layer2", "layer3")]}))
    for stage, value in (("layer2", 2.0), ("layer3", 3.0)):
        (tmp_path / "trained" / stage).mkdir(parents=True)
        np.save(tmp_path / "trained" / stage / "test.npy", np.full((4, 2), value))
        np.save(tmp_path / "trained" / stage / "test.ids.npy", np.arange(4))
    assert Scores(tmp_path / "scores").eval_layer == "layer2"
    assert Features(tmp_path, Scores(tmp_path / "scores").eval_layer).read("test")[0][0, 0] == 2
    assert Features(tmp_path).read("test")[0][0, 0] == 3
