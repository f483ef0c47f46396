"""linear_eval and knn_eval: chosen on validation, tested once, the baselines by the same protocol."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import KnnConfig, LinearConfig
from ssl_pipelines.evaluation.knn import knn_eval
from ssl_pipelines.evaluation.linear import choose, grid, linear_eval
from ssl_pipelines.evaluation.logistic import Problem
from tests.evaluation.evaluation_samples import make_store

ROOMS = {"linear": (linear_eval, LinearConfig(num_values=6)), "knn": (knn_eval, KnnConfig(k=5))}


def write_features(folder, store, stages, strength, seeds=2):
    """Gaussian features whose classes lie `strength[source, stage]` apart; every split of the store."""
    rng, opened = np.random.default_rng(0), Store.open(store)
    sources = [("trained", stages), *((f"random_init/{i}", stages) for i in range(seeds)), ("raw_pixels", ["pixels"])]
    for source, names in sources:
        for stage in names:
            target = folder / source / stage
            target.mkdir(parents=True)
            for split in ("train", "validation", "test", "unlabeled"):
                ids = opened.ids(split)
                if not len(ids):
                    continue
                place = 2 * np.eye(3, 8)[np.maximum(opened.labels(ids), 0)] * strength[source.split("/")[0], stage]
                np.save(target / f"{split}.npy", (place + rng.normal(size=(len(ids), 8))).astype(np.float32))
                np.save(target / f"{split}.ids.npy", ids)
    about = {
        "judged_at": "best" if len(stages) > 1 else "final",
        "stages": [{"name": s, "dim": 8, "pooling": "average"} for s in stages],
    }
    (folder / "stages.json").write_text(json.dumps(about | {"raw_pixels": {"dim": 8, "size": 2}}))
    return folder


FINAL = {("trained", "final"): 2.0, ("random_init", "final"): 0.5, ("raw_pixels", "pixels"): 0.3}


@pytest.mark.parametrize("room", ROOMS)
def test_scores_and_predictions(store, tmp_path, room):
    features = write_features(tmp_path / "f", store, ["final"], FINAL)
    run, config = ROOMS[room]
    out = tmp_path / "out"
    out.mkdir()
    scores = {score.metric: score for score in run(features, store, config, 7, out)}
    rows = json.loads((out / f"{room}_eval.json").read_text())
    assert [row["metric"] for row in rows] == [f"{room}.{name}" for name in ("top1", "random_init_top1", "raw_pixels_top1", "gain")]
    assert [row["baseline"] for row in rows] == [None, "random_init", "raw_pixels", "random_init"]
    keys = {"metric", "value", "low", "high", "n", "protocol", "seed", "baseline", "eval_layer", "chosen"}
    assert all(set(row) == keys for row in rows)
    assert all(row["n"] == 60 and row["seed"] == 7 and row["low"] <= row["value"] <= row["high"] for row in rows)
    trained, random, gain = (scores[f"{room}.{name}"] for name in ("top1", "random_init_top1", "gain"))
    assert trained.value > 0.9 > random.value > 0.4 > 1 / 3
    assert gain.value == pytest.approx(trained.value - random.value)
    assert "eval layer final (8 dims)" in trained.said
    assert "fit 90, validation 30 (the store's split), test 60" in trained.said
    assert "mean of 2 seeds" in random.said
    table, opened = pd.read_parquet(out / f"{room}_eval.predictions.parquet"), Store.open(store)
    assert table.dtypes.astype(str).to_dict() == {"id": "int64", "label": "int64", "prediction": "int64"}
    assert np.array_equal(table["id"], opened.ids("test"))
    assert np.array_equal(table["label"], opened.labels(opened.ids("test")))
    assert (table["label"] == table["prediction"]).mean() == trained.value


@pytest.mark.parametrize("room", ROOMS)
def test_random_init_is_the_mean_of_its_seeds(store, tmp_path, room):
    features = write_features(tmp_path / "f", store, ["final"], FINAL)
    run, config = ROOMS[room]
    values = []
    for name in ("0", "1"):
        alone = tmp_path / f"alone{name}"
        (alone / "random_init").mkdir(parents=True)
        for part in ("trained", "raw_pixels", "stages.json"):
            (alone / part).symlink_to(features / part)
        (alone / "random_init" / "0").symlink_to(features / "random_init" / name)
        values.append(run(alone, store, config, 0, tmp_path)[1].value)
    assert values[0] != values[1]
    assert run(features, store, config, 0, tmp_path)[1].value == pytest.approx(np.mean(values))


@pytest.mark.parametrize("room", ROOMS)
def test_the_stage_is_chosen_on_validation_for_each_source(store, tmp_path, room):
    """The last stage is the worst, and random initialization has its best elsewhere."""
    strength = {("trained", "early"): 0.2, ("trained", "middle"): 2.0, ("trained", "late"): 0.3, ("raw_pixels", "pixels"): 0.3}
    strength |= {("random_init", "early"): 2.0, ("random_init", "middle"): 0.2, ("random_init", "late"): 0.3}
    features = write_features(tmp_path / "f", store, ["early", "middle", "late"], strength)
    run, config = ROOMS[room]
    scores = run(features, store, config, 0, tmp_path)
    assert "eval layer middle (8 dims) of 3 layers, chosen on validation" in scores[0].said
    assert "eval layer early (8 dims) of 3 layers" in scores[1].said
    assert min(scores[0].value, scores[1].value) > 0.9


def shuffled_test_labels(store, folder):
    """The same store, its test labels permuted: nothing but the scores may notice."""
    folder.mkdir()
    for name in ("images.npy", "store.json"):
        (folder / name).symlink_to(store / name)
    table = pd.read_parquet(store / "manifest.parquet")
    rows = table.index[table["split"] == "test"]
    table.loc[rows, "label"] = np.random.default_rng(0).permutation(table.loc[rows, "label"].to_numpy())
    table.to_parquet(folder / "manifest.parquet", index=False)
    return folder


@pytest.mark.parametrize("room", ROOMS)
def test_test_labels_decide_nothing(store, tmp_path, room):
    strength = {("trained", "a"): 0.8, ("trained", "b"): 0.9, ("raw_pixels", "pixels"): 0.3}
    strength |= {("random_init", "a"): 0.5, ("random_init", "b"): 0.5}
    features = write_features(tmp_path / "f", store, ["a", "b"], strength)
    run, config = ROOMS[room]
    results = []
    for folder in (store, shuffled_test_labels(store, tmp_path / "shuffled")):
        out = tmp_path / f"out_{folder.name}"
        out.mkdir()
        scores = run(features, folder, config, 0, out)
        answers = pd.read_parquet(out / f"{room}_eval.predictions.parquet")["prediction"].tolist()
        results.append(([score.said for score in scores], answers, scores[0].value))
    assert results[0][:2] == results[1][:2]
    assert results[1][2] < results[0][2] - 0.2


def test_the_value_is_the_best_of_the_path_on_validation():
    rng = np.random.default_rng(1)
    y, y_val = rng.integers(0, 3, 80), rng.integers(0, 3, 60)
    x, x_val = (rng.normal(size=(len(t), 40)) + 0.8 * np.eye(3, 40)[t] for t in (y, y_val))
    config = LinearConfig(num_values=12)
    found = choose(x, y, x_val, y_val, "final", config)
    scores = []
    for l2 in grid(12):
        found_here = Problem(x, y, True).solve(float(l2), None, 5000, 1e-7)
        logits = x_val @ found_here.weight.numpy() + found_here.bias.numpy()
        likelihood = (logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(60), y_val].mean()
        scores.append(((logits.argmax(1) == y_val).mean(), likelihood))
    assert found.l2 == grid(12)[scores.index(max(scores))]
    assert found.score == pytest.approx(max(scores), rel=1e-3)
    assert found.score[0] > scores[-1][0]


def test_equal_scores_are_decided_by_likelihood():
    """Far apart classes: every value answers all correctly, and the strongest would say nothing with confidence."""
    rng = np.random.default_rng(2)
    y = np.arange(60) % 3
    x, x_val = (rng.normal(size=(60, 5)) + 8 * np.eye(3, 5)[y] for _ in range(2))
    found = choose(x, y, x_val, y, "final", LinearConfig())
    assert found.score[0] == 1
    assert found.l2 < 1


def test_the_probe_is_refit_on_validation_too(tmp_path):
    """One class has images in validation alone: only a refit on both can name it."""
    store = make_store(tmp_path / "s", {"train": 60, "validation": 30, "test": 60})
    table = pd.read_parquet(store / "manifest.parquet")
    table.loc[(table["split"] == "train") & (table["label"] == 2), "label"] = pd.NA
    table.to_parquet(store / "manifest.parquet", index=False)
    features = write_features(tmp_path / "f", store, ["final"], FINAL)
    for run, config in ROOMS.values():
        scores = run(features, store, config, 0, tmp_path)
        assert scores[0].value > 0.8, scores[0]


def test_standardizing_forgets_the_scale_of_features(store, tmp_path):
    features = write_features(tmp_path / "f", store, ["final"], FINAL | {("trained", "final"): 0.7})
    answers = {}
    for scale in ("as written", "scaled"):
        for standardize in (True, False):
            linear_eval(features, store, LinearConfig(standardize=standardize), 0, tmp_path)
            answers[scale, standardize] = pd.read_parquet(tmp_path / "linear_eval.predictions.parquet")["prediction"].tolist()
        for path in (features / "trained" / "final").glob("*.npy"):
            if not path.stem.endswith(".ids"):
                np.save(path, np.load(path) * np.logspace(-3, 2, 8, dtype=np.float32))
    assert answers["as written", True] == answers["scaled", True]
    assert answers["as written", False] != answers["scaled", False]


def test_an_end_of_the_grid_and_no_convergence_are_warned_of(store, tmp_path, caplog):
    hopeless = dict.fromkeys(FINAL, 0.0)
    features = write_features(tmp_path / "f", store, ["final"], hopeless | {("trained", "final"): 2.0})
    with caplog.at_level(logging.WARNING, "ssl_pipelines"):
        scores = linear_eval(features, store, LinearConfig(num_values=3, max_iterations=1), 0, tmp_path)
    assert "is at an end of the grid" in caplog.text
    assert "not converged after 1 iterations" in caplog.text
    assert "NOT converged" in scores[0].said
    caplog.clear()
    features = write_features(
        tmp_path / "g", store, ["final"], FINAL | {("raw_pixels", "pixels"): 2.0, ("random_init", "final"): 2.0}
    )
    with caplog.at_level(logging.WARNING, "ssl_pipelines"):
        linear_eval(features, store, LinearConfig(), 0, tmp_path)
    assert caplog.text == ""


def test_k_larger_than_the_bank_is_clipped_and_said(store, tmp_path):
    features = write_features(tmp_path / "f", store, ["final"], FINAL)
    scores = knn_eval(features, store, KnnConfig(k=5000), 0, tmp_path)
    assert "k=120 (5000 asked for), T=0.07" in scores[0].said


def test_features_of_another_store_are_refused(store, tmp_path):
    features = write_features(tmp_path / "f", store, ["final"], FINAL)
    other = make_store(tmp_path / "other", {"train": 200, "validation": 40, "test": 60})
    with pytest.raises(InputError, match=r"lacks \d+ of 200 images; run extract_features again"):
        linear_eval(features, other, LinearConfig(), 0, tmp_path)


def test_features_that_are_not_finite_are_refused(store, tmp_path):
    features = write_features(tmp_path / "f", store, ["final"], FINAL)
    path = features / "trained" / "final" / "test.npy"
    rows = np.load(path)
    rows[3, 2] = np.nan
    np.save(path, rows)
    with pytest.raises(InputError, match="not finite"):
        knn_eval(features, store, KnnConfig(), 0, tmp_path)
