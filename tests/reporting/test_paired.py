"""Paired differences between runs, against what is known of small tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import write_json
from ssl_pipelines.reporting.inputs import Scores
from ssl_pipelines.reporting.paired import OTHER_DATA, Difference, all_pairs, best, difference


@dataclass
class Judged:
    digest: str
    scores: Scores


def judged(folder: Path, correct: np.ndarray, digest: str = "d", ids: np.ndarray | None = None) -> Judged:
    """A run that answers `correct` (bool) on images of label 1; its answers stand in another order than its ids."""
    folder.mkdir()
    ids = np.arange(len(correct)) if ids is None else ids
    order = np.random.default_rng(len(folder.name)).permutation(len(ids))
    table = pd.DataFrame({"id": ids, "label": 1, "prediction": np.where(correct, 1, 0)}).iloc[order]
    table.to_parquet(folder / "linear_eval.predictions.parquet", index=False)
    write_json(folder / "linear_eval.json", [{"metric": "linear.top1", "value": float(correct.mean())}])
    return Judged(digest, Scores(folder))


def test_the_difference_and_its_interval_are_those_of_the_images_that_differ(tmp_path):
    # 400 images; ours alone is right on 60, theirs alone on 20: mean 0.1, and a standard error of sqrt(0.2 - 0.01) / 20.
    ours, theirs = np.zeros(400, bool), np.zeros(400, bool)
    ours[:260], theirs[60:280] = True, True
    found = difference(judged(tmp_path / "a", ours), judged(tmp_path / "bb", theirs), "linear_eval", seed=0)
    assert isinstance(found, Difference)
    assert (found.n, found.alone) == (400, (60, 20))
    assert found.value == pytest.approx(0.1)
    error = np.sqrt(0.2 - 0.01) / 20
    assert found.low == pytest.approx(0.1 - 1.96 * error, abs=0.004)
    assert found.high == pytest.approx(0.1 + 1.96 * error, abs=0.004)
    assert found.sign == 1
    assert found.turned.sign == -1
    assert found.turned.alone == (20, 60)
    assert (found.turned.low, found.turned.high) == (-found.high, -found.low)


def test_equal_answers_differ_by_nothing(tmp_path):
    right = np.arange(50) < 30
    found = difference(judged(tmp_path / "a", right), judged(tmp_path / "b", right), "linear_eval", seed=0)
    assert isinstance(found, Difference)
    assert (found.value, found.low, found.high, found.sign) == (0, 0, 0, 0)


def test_other_images_or_other_data_are_not_compared(tmp_path):
    right = np.ones(20, bool)
    ours = judged(tmp_path / "a", right)
    assert difference(ours, judged(tmp_path / "b", right, digest="e"), "linear_eval", 0) == OTHER_DATA
    assert difference(ours, judged(tmp_path / "c", right, ids=np.arange(1, 21)), "linear_eval", 0) == OTHER_DATA
    (tmp_path / "a" / "linear_eval.predictions.parquet").unlink()
    assert difference(ours, judged(tmp_path / "d", right), "linear_eval", 0) == "not comparable: no answers kept"


def test_a_run_is_best_only_where_it_beats_each_of_the_others(tmp_path):
    better, middle = np.arange(400) < 300, np.arange(400) < 200
    runs = [judged(tmp_path / "a", middle), judged(tmp_path / "bb", better)]
    pairs = all_pairs(runs, "linear_eval", 0)
    assert best({0: 0.5, 1: 0.75}, pairs) == 1
    runs.append(judged(tmp_path / "ccc", np.roll(better, 3)))  # 0.75 too
    assert best({0: 0.5, 1: 0.75, 2: 0.75}, all_pairs(runs, "linear_eval", 0)) is None
    assert best({0: 0.5}, {}) is None


def test_one_that_cannot_be_compared_leaves_nobody_best(tmp_path):
    high, low = np.ones(100, bool), np.arange(100) < 20
    runs = [judged(tmp_path / "a", high), judged(tmp_path / "b", low, digest="e")]
    pairs = all_pairs(runs, "linear_eval", 0)
    assert pairs == {(0, 1): OTHER_DATA}
    assert best({0: 1.0, 1: 0.2}, pairs) is None


def test_a_room_that_judged_one_of_two_makes_no_pair(tmp_path):
    runs = [judged(tmp_path / "a", np.ones(9, bool)), Judged("d", Scores(tmp_path))]
    assert all_pairs(runs, "linear_eval", 0) == {}
