"""select: what is chosen, what labels may say in it, and whether the simulation tells good choices from chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data import Store
from ssl_pipelines.evaluation.config import SelectConfig
from ssl_pipelines.evaluation.selection import STRATEGIES, everything_is_labeled, pick, select
from ssl_pipelines.evaluation.selection_trial import trial
from tests.evaluation.evaluation_samples import write_store
from tests.evaluation.test_knn_eval import write_features

SMALL = {"budgets": (3, 9), "draws": 4, "pool": 60}


def partly_labeled(folder, labels, splits):
    images = np.zeros((len(labels), 12, 12, 3), np.uint8)
    store = write_store(folder, np.asarray(labels), np.asarray(splits), images)
    table = pd.read_parquet(store / "manifest.parquet")
    table["path"] = [f"photos/{i}.png" for i in table["id"]]
    table.to_parquet(store / "manifest.parquet", index=False)
    return store


def features_of(folder, store, rows):
    """One layer, `rows` (N, D) by id, in the split of each."""
    opened = Store.open(store)
    write_features(
        folder, store, {s: {"final": 1.0} for s in ("trained", "random_init/0", "random_init/1")} | {"raw_pixels": {"pixels": 1.0}}
    )
    for split in ("train", "validation", "test", "unlabeled"):
        ids = opened.ids(split)
        if len(ids):
            np.save(folder / "trained/final" / f"{split}.npy", rows[ids].astype(np.float32))
            np.save(folder / "trained/final" / f"{split}.ids.npy", ids)
    return folder


@pytest.fixture
def half(tmp_path):
    """20 labeled training images around one direction; 60 without a label around three others, the last of them lone; 10 test images."""
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2, 3, 0], [20, 30, 29, 1, 10])
    rows = np.eye(4, 6)[groups] + 0.05 * random.normal(size=(90, 6))
    splits = np.repeat(["train", "unlabeled", "test"], [20, 60, 10])
    store = partly_labeled(tmp_path / "store", np.where(splits == "unlabeled", -1, np.arange(90) % 2), splits)
    return features_of(tmp_path / "features", store, rows), store, groups


def run(half, out, **values):
    out.mkdir()
    config = SelectConfig(**values)
    return select(half[0], half[1], config, config.eval_layer or "final", 0, out)


def test_typicality_takes_the_clusters_without_labels(half, tmp_path):
    table = run(half, tmp_path / "out", strategy="typicality", count=2)
    assert sorted(half[2][table["id"]]) == [1, 2]
    assert table["rank"].tolist() == [1, 2]
    assert table["path"].tolist() == [f"photos/{i}.png" for i in table["id"]]


def test_coreset_takes_what_is_far_from_every_label(half, tmp_path):
    table = run(half, tmp_path / "out", strategy="coreset", count=3)
    assert sorted(half[2][table["id"]]) == [1, 2, 3]
    assert (np.diff(table["score"]) <= 0).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_labeled_and_no_test_image_is_chosen_and_all_others_can_be(half, tmp_path, strategy):
    table = run(half, tmp_path / "out", strategy=strategy, count=60)
    assert sorted(table["id"]) == list(range(20, 80))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_the_labels_are_changes_no_choice(half, tmp_path, strategy):
    before = run(half, tmp_path / "before", strategy=strategy, count=10)
    table = pd.read_parquet(half[1] / "manifest.parquet")
    table["label"] = table["label"].where(table["label"].isna(), 1 - table["label"])
    table.to_parquet(half[1] / "manifest.parquet", index=False)
    assert run(half, tmp_path / "after", strategy=strategy, count=10).equals(before)


def test_the_files(half, tmp_path):
    table = run(half, tmp_path / "out", strategy="random", count=4)
    assert pd.read_parquet(tmp_path / "out/select.parquet").equals(table)
    sheet = pd.read_csv(tmp_path / "out/select.csv")
    assert list(sheet.columns) == ["rank", "id", "path", "score", "label"]
    assert sheet["label"].isna().all()
    assert sheet["score"].isna().all()


def test_refusals(half, tmp_path):
    with pytest.raises(InputError, match=r"select.count=61: 60 images have no label; allowed is 1 to 60"):
        run(half, tmp_path / "many", count=61)
    with pytest.raises(InputError, match=r"select.eval_layer='layer9' is unknown. Allowed: final"):
        run(half, tmp_path / "layer", eval_layer="layer9")
    assert not everything_is_labeled(half[1])


def test_where_all_have_labels_there_is_nothing_to_choose(store, tmp_path):
    table = pd.read_parquet(store / "manifest.parquet")
    table.loc[table["split"] == "unlabeled", "status"] = "unusable"
    table.to_parquet(store / "manifest.parquet", index=False)
    np.save(store / "images.npy", np.load(store / "images.npy")[: (table["status"] == "ok").sum()])
    features = features_of(tmp_path / "f", store, np.random.default_rng(0).normal(size=(len(table), 6)))
    assert everything_is_labeled(store)
    with pytest.raises(InputError, match=r"each of the 90 training images .* select.simulate=true"):
        run((features, store), tmp_path / "out")


def test_equal_seeds_choose_alike_and_draws_differ():
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    none = np.empty(0, np.int64)
    for strategy in STRATEGIES:
        one, same, other = (pick(strategy, rows, none, 6, 3, draw)[0].tolist() for draw in (0, 0, 1))
        assert one == same
        assert one != other or strategy == "typicality"


@pytest.fixture
def uneven(tmp_path):
    """Class 0 fills nine tenths of the pool: by chance a few labels miss the others, one of each cluster does not."""
    random = np.random.default_rng(1)
    labels = np.concatenate([np.repeat([0, 1, 2], [90, 6, 6]), np.arange(30) % 3, np.arange(60) % 3])
    splits = np.repeat(["train", "validation", "test"], [102, 30, 60])
    rows = np.eye(3, 5)[labels] + 0.05 * random.normal(size=(len(labels), 5))
    store = partly_labeled(tmp_path / "store", labels, splits)
    return features_of(tmp_path / "features", store, rows), store


def simulate(uneven, out, **values):
    out.mkdir()
    scores = trial(*uneven, SelectConfig(simulate=True, **(SMALL | values)), "final", 0, out)
    return {score.metric: score for score in scores}


def test_the_simulation_sees_that_typicality_beats_chance_here(uneven, tmp_path):
    scores = simulate(uneven, tmp_path / "out", pool=102)
    assert scores["select.typicality.3.top1"].value > 0.95
    assert scores["select.random.3.top1"].value < 0.8
    gain = scores["select.typicality.3.gain"]
    assert gain.value == pytest.approx(scores["select.typicality.3.top1"].value - scores["select.random.3.top1"].value, abs=1e-6)
    assert 0 < gain.low <= gain.value <= gain.high
    assert "mean of 20 seeded draws" in scores["select.random.3.top1"].said
    assert len(scores) == 2 * 5


def test_the_simulation_repeats_and_test_labels_only_move_the_score(uneven, tmp_path):
    first, again = (simulate(uneven, tmp_path / name, budgets=(3,), pool=102) for name in ("first", "again"))
    assert first == again
    table = pd.read_parquet(uneven[1] / "manifest.parquet")
    test = table["split"] == "test"
    table.loc[test, "label"] = (table.loc[test, "label"] + 1) % 3
    table.to_parquet(uneven[1] / "manifest.parquet", index=False)
    moved = simulate(uneven, tmp_path / "moved", budgets=(3,), pool=102)
    for metric, score in first.items():
        assert moved[metric].said == score.said, "l2 and choices are the same"
    assert moved["select.typicality.3.top1"].value < 0.1


def test_a_budget_larger_than_the_pool_is_refused(uneven, tmp_path):
    with pytest.raises(InputError, match=r"select.budgets: 61 labels are more than the 60 images of a pool"):
        simulate(uneven, tmp_path / "out", budgets=(61,))


def test_one_class_alone_among_the_labels_is_no_fault(uneven, tmp_path):
    assert simulate(uneven, tmp_path / "out", budgets=(2,))["select.random.2.top1"].value > 0.3


def test_budgets_are_one_or_several_each_once():
    assert SelectConfig.of({"budgets": 20}, "select").budgets == (20,)
    assert SelectConfig.of({"budgets": [50, 10, 50]}, "select").budgets == (10, 50)
    for bad in ([], [1], "many"):
        with pytest.raises(InputError, match=r"select\.budgets"):
            SelectConfig.of({"budgets": bad}, "select")


def test_what_was_not_given_fits_the_images():
    fitted = SelectConfig().fitted(unlabeled=26, hidden=60)
    assert (fitted.count, fitted.budgets) == (26, (10, 20, 50))
    assert SelectConfig().fitted(unlabeled=26, hidden=7).budgets == (7,)
    assert SelectConfig(pool=30).fitted(unlabeled=500, hidden=400).budgets == (10, 20)
    assert SelectConfig().fitted(unlabeled=100, hidden=200) == SelectConfig()


def test_what_was_given_stays_as_it_is():
    given = SelectConfig(count=100, budgets=(10, 20, 50, 100, 200))
    assert given.fitted(unlabeled=26, hidden=60) == given
