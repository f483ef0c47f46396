"""few_labels: draws, heads, scores and what it refuses; on images whose class a square's place gives away."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

from ssl_pipelines.algorithms.intervals import over_draws, wilson
from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation import imagenet
from ssl_pipelines.evaluation.config import ExtractConfig, FewLabelsConfig
from ssl_pipelines.evaluation.draws import draw_all, settings_of
from ssl_pipelines.evaluation.errors import NotApplicable
from ssl_pipelines.evaluation.features import extract_features
from ssl_pipelines.evaluation.few_labels import few_labels
from ssl_pipelines.evaluation.frame import folds
from ssl_pipelines.evaluation.heads import Space, held_out, l2_grid, linear, nearest_mean
from ssl_pipelines.training.runtime import RuntimeConfig
from tests.evaluation.evaluation_samples import make_model, make_store

CPU = RuntimeConfig(accelerator="cpu")
RNG = np.random.default_rng


def config(**keys):
    quick = {
        "shots": [2],
        "fractions": [1.0],
        "draws": 2,
        "l2_values": 3,
        "max_iterations": 50,
        "finetune": {"images_seen": 32, "draws": 1},
    }
    return FewLabelsConfig.of(quick | keys, "few_labels")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("few")
    store, model = make_store(folder / "store", {"train": 24, "validation": 6, "test": 30}), make_model(folder / "model")
    (folder / "features").mkdir()
    extract_features(model, store, ExtractConfig(random_init_seeds=2), 0, CPU, folder / "features")
    return model, store, folder / "features"


def run(inputs, out, seed=0, **keys):
    out.mkdir()
    return {score.metric: score for score in few_labels(*inputs, config(**keys), keys.get("eval_layer", "final"), seed, CPU, out)}


def test_scores_have_draws_baselines_and_intervals_and_repeat(inputs, tmp_path):
    scores = run(inputs, tmp_path / "one")
    assert scores == run(inputs, tmp_path / "two")
    for name in ("few_labels.json", "few_labels.draws.parquet", "few_labels.notes.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    table = pd.read_parquet(tmp_path / "one" / "few_labels.draws.parquet")
    here = table[(table.setting == "2shot") & (table["head"] == "linear")]
    assert {source: len(rows) for source, rows in here.groupby("source")} == {"trained": 2, "random_init": 2, "raw_pixels": 2}
    assert set(here.labels) == {6}
    top, values = scores["few_labels.2shot.linear.top1"], here[here.source == "trained"].top1.to_numpy()
    assert top.value == pytest.approx(values.mean())
    half = student.ppf(0.975, 1) * values.std(ddof=1) / np.sqrt(2)
    low, high = wilson(30 * values.mean(), 30)
    assert top.low == pytest.approx(max(0, top.value - np.hypot(half, top.value - low)))
    assert top.high == pytest.approx(min(1, top.value + np.hypot(half, high - top.value)))
    assert "6 labels (2 a class), 2 seeded draws of 30" in top.said
    assert "2-fold cross-validation" in top.said
    gain = scores["few_labels.2shot.linear.gain_over_raw_pixels"]
    assert gain.value == pytest.approx(top.value - scores["few_labels.2shot.linear.raw_pixels_top1"].value)
    assert -1 <= gain.low <= gain.value <= gain.high <= 1
    whole = scores["few_labels.100pct.finetune.from_scratch_top1"]
    assert "32 images drawn" not in whole.said  # two steps of all 30
    assert "60 images drawn (2 steps of 30)" in whole.said
    tuned = scores["few_labels.100pct.finetune.gain_over_raw_pixels"]
    assert "minus few_labels.100pct.linear.raw_pixels_top1" in tuned.said
    assert tuned.value == pytest.approx(
        scores["few_labels.100pct.finetune.top1"].value - scores["few_labels.100pct.linear.raw_pixels_top1"].value
    )
    assert "few_labels.2shot.finetune.top1" not in scores, "fine-tuning is at fractions"
    assert len(json.loads((tmp_path / "one" / "few_labels.json").read_text())) == len(scores)


def test_what_the_labels_do_not_allow_is_skipped_with_a_line(inputs, tmp_path, caplog):
    caplog.set_level("INFO", "ssl_pipelines")
    scores = run(inputs, tmp_path / "out", shots=[1, 11], fractions=[0.05], finetune={"draws": 0})
    assert {metric.split(".")[1] for metric in scores} == {"1shot"}
    assert "l2 fixed: 1" in scores["few_labels.1shot.linear.top1"].said
    notes = json.loads((tmp_path / "out" / "few_labels.notes.json").read_text())["left_out"]
    assert notes == [
        "11 a class is skipped: class 'left' has 10 labeled images",
        "5 % is skipped: of 30 labels that is 1.5, less than one for each of 3 classes",
    ]
    assert f"few_labels: {notes[0]}" in caplog.messages


def test_nothing_possible_does_not_apply(inputs, tmp_path):
    with pytest.raises(NotApplicable, match="labels for none of what was asked: 99 a class"):
        run(inputs, tmp_path / "out", shots=[99], fractions=[])
    assert not list((tmp_path / "out").iterdir())


def test_without_labels_it_does_not_apply(inputs, tmp_path):
    store = make_store(tmp_path / "s", {"unlabeled": 12}, classes=[])
    with pytest.raises(NotApplicable, match="few_labels needs labels"):
        run((inputs[0], store, inputs[2]), tmp_path / "out")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"eval_layer": "layer9"}, r"few_labels\.eval_layer='layer9' is unknown"),
        ({"finetune": {"trainable": 9}}, r"few_labels\.finetune\.trainable=9 is refused: .* 1 to 4"),
        ({"timm": "resnet181"}, r"few_labels\.timm='resnet181' is unknown"),
        ({"shots": [], "fractions": []}, r"few_labels: shots and fractions are both empty"),
        ({"fractions": [10]}, r"few_labels\.fractions.* less than or equal to 1"),
    ],
)
def test_what_is_refused(inputs, tmp_path, keys, message):
    with pytest.raises(InputError, match=message):
        run(inputs, tmp_path / "out", **keys)


def test_lists_can_be_given_on_the_command_line():
    assert config(shots=[1, 5], fractions=0.1).shots == (1, 5)
    assert config(shots=3, fractions=0.1).shots == (3,)


def test_weights_that_cannot_be_had_are_one_line(inputs, tmp_path, monkeypatch, caplog):
    def offline(*_, **__):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(imagenet.timm, "create_model", offline)
    scores = run(inputs, tmp_path / "out", timm="resnet18", fractions=[], finetune={"draws": 0})
    assert not [metric for metric in scores if "timm" in metric]
    [note] = json.loads((tmp_path / "out" / "few_labels.notes.json").read_text())["left_out"]
    assert (
        note == "ImageNet weights are left out: weights of resnet18 are neither cached nor can they be downloaded (ConnectionError)"
    )
    assert f"few_labels: {note}" in caplog.messages


def test_weights_that_can_be_had_stand_beside_ours(inputs, tmp_path, monkeypatch):
    import timm

    real = timm.create_model
    monkeypatch.setattr(imagenet.timm, "create_model", lambda name, pretrained, **more: real(name, **more))
    scores = run(inputs, tmp_path / "out", timm="resnet10t", timm_size=32, fractions=[], finetune={"draws": 0})
    assert "eval layer resnet10t" in scores["few_labels.2shot.linear.timm_top1"].said
    assert scores["few_labels.2shot.linear.gain_over_timm"].baseline == "timm"


def test_draws_are_stratified_seeded_and_do_not_depend_on_their_number():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    pool = np.arange(100) * 3
    settings = settings_of(FewLabelsConfig(shots=(5,), fractions=(0.1, 1.0)))
    assert [one.key for one in settings] == ["5shot", "10pct", "100pct"]
    shots, share, whole = draw_all(settings, pool, labels, FewLabelsConfig(draws=4), 0)
    assert [np.bincount(labels[ids // 3]).tolist() for ids in shots.ids] == [[5, 5, 5]] * 4
    assert [np.bincount(labels[ids // 3]).tolist() for ids in share.ids] == [[5, 3, 2]] * 4
    assert len(whole.ids) == 1
    assert np.array_equal(whole.ids[0], pool)
    assert len({ids.tobytes() for ids in share.ids}) == 4
    fewer = draw_all(settings, pool, labels, FewLabelsConfig(draws=2), 0)[1]
    assert all(np.array_equal(a, b) for a, b in zip(fewer.ids, share.ids, strict=False))
    assert fewer.seeds == share.seeds[:2]
    dear = FewLabelsConfig(draws=9, labels_drawn=60)
    assert [len(one.ids) for one in draw_all(settings, pool, labels, dear, 0)] == [4, 6, 1]
    assert [len(one.ids) for one in draw_all(settings, pool, labels, FewLabelsConfig(labels_drawn=1), 0)] == [3, 3, 1]


def test_folds_cover_each_image_once_and_leave_every_class_something():
    labels = np.repeat([0, 1, 2, 3], [7, 5, 2, 1])
    fold = folds(labels, RNG(0), 5)
    assert fold[labels == 3].tolist() == [-1]
    assert set(fold) == {-1, 0, 1, 2, 3, 4}
    for k in range(5):
        assert set(labels[fold != k]) == {0, 1, 2, 3}
        assert np.bincount(labels[fold == k], minlength=4).max() <= 2
    assert held_out(np.arange(4), RNG(0)) == []
    assert len(held_out(np.repeat([0, 1], 600), RNG(0))) == 1


@pytest.mark.parametrize("dim", [6, 40])
def test_linear_is_scikit_learns_at_the_chosen_l2(dim):
    random = RNG(3)
    labels = np.repeat([0, 1, 2], 8)
    x, test = (
        random.normal(size=(n, dim)).astype(np.float32) + np.eye(3, dim)[y] * 3 for n, y in ((24, labels), (60, np.arange(60) % 3))
    )
    found = linear({"final": x}, labels, {"final": test}, config(l2_values=4, max_iterations=1000), RNG(0))
    assert found.folds == 5
    assert found.l2 in l2_grid(config(l2_values=4))
    scale = StandardScaler().fit(x)
    oracle = LogisticRegression(C=1 / found.l2, tol=1e-8, max_iter=5000).fit(scale.transform(x), labels)
    assert np.array_equal(found.predictions, oracle.predict(scale.transform(test)))


def test_the_span_keeps_every_distance():
    x = RNG(0).normal(size=(5, 30)).astype(np.float32)
    space = Space.of(x)
    assert space.rows.shape == (5, 5)
    z = (x - x.mean(0)) / x.std(0)
    assert np.allclose(space.rows @ space.rows.T, z @ z.T, atol=1e-4)
    assert np.allclose(space.map(x), space.rows, atol=1e-4)


def test_prototype_is_the_nearest_centroid():
    random = RNG(1)
    x, labels, test = random.normal(size=(30, 7)), np.arange(30) % 4, random.normal(size=(50, 7))
    assert np.array_equal(nearest_mean(x, labels, test), NearestCentroid().fit(x, labels).predict(test))


def test_one_draw_adds_nothing_to_the_interval_over_images():
    assert over_draws(np.array([0.7]), 0.6, 0.75) == pytest.approx((0.6, 0.75))
    low, high = over_draws(np.array([0.6, 0.7, 0.8]), 0.7, 0.7)
    assert (low, high) == pytest.approx((0.7 - 0.2484, 0.7 + 0.2484), abs=1e-4)  # t(2) = 4.3027, s = 0.1


def test_no_label_outside_the_draw_is_read(inputs, tmp_path, monkeypatch):
    """A draw's heads see the labels of its images alone; test labels come after the last prediction."""
    asked, real = [], Store.labels
    monkeypatch.setattr(Store, "labels", lambda self, ids: asked.append(np.asarray(ids)) or real(self, ids))
    run(inputs, tmp_path / "out", fractions=[], finetune={"draws": 0})
    test = Store.open(inputs[1]).ids("test")
    places = [k for k, ids in enumerate(asked) if len(ids) == len(test) and np.array_equal(ids, test)]
    assert places[-1] == len(asked) - 1


def test_one_layer_or_the_best_of_each_draw(tmp_path):
    store, model = make_store(tmp_path / "store", {"train": 24, "test": 30}), make_model(tmp_path / "model", "rotation")
    (tmp_path / "features").mkdir()
    extract_features(model, store, ExtractConfig(random_init_seeds=1), 0, CPU, tmp_path / "features")
    inputs = (model, store, tmp_path / "features")
    quick = {"shots": [2], "fractions": [], "finetune": {"draws": 0}}
    named, final, best = (run(inputs, tmp_path / name, eval_layer=name, **quick) for name in ("layer2", "final", "best"))
    top, random = "few_labels.2shot.linear.top1", "few_labels.2shot.linear.random_init_top1"
    assert "eval layer layer2; " in named[top].said
    assert "eval layer layer2; " in named[random].said, "the baseline at the same layer"
    assert (named[top].eval_layer, named[random].eval_layer) == ("layer2", None)
    assert final[top].eval_layer == "layer4", "what `final` stands for"
    assert "eval layer layer" in best[top].said
