"""metrics.json and what the page says of the scores."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.reporting import tables
from ssl_pipelines.reporting.inputs import Model, Scores
from ssl_pipelines.reporting.metrics import merge
from ssl_pipelines.reporting.results import headline, judge, other_scores, results
from tests.reporting import report_inputs

STORE = SimpleNamespace(name="digits", sha256="ab" * 32)


def scores_of(folder: Path, **rooms: list[dict[str, Any]]) -> Scores:
    for room, rows in rooms.items():
        (folder / f"{room}.json").write_text(json.dumps(rows))
    return Scores(folder)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    report_inputs.make_model(tmp_path / "model", knn=True)
    return Model(tmp_path / "model")


def test_metrics_are_nested_with_intervals_beside(tmp_path: Path, model: Model) -> None:
    rows = [
        report_inputs.score("linear.top1", 0.9, 0.1, 50),
        report_inputs.score("linear.random_init_top1", 0.5, 0.1, 50, "random_init"),
    ]
    rows.append({"metric": "linear.stage.early_top1", "value": 0.7})
    found = merge(STORE, model, scores_of(tmp_path, linear_eval=rows), "0123abc+dirty")
    assert found["linear"] == {
        "top1": 0.9, "top1_low": pytest.approx(0.8), "top1_high": pytest.approx(1.0),
        "random_init_top1": 0.5, "random_init_top1_low": pytest.approx(0.4), "random_init_top1_high": pytest.approx(0.6),
        "stage": {"early_top1": 0.7},
    }  # fmt: skip
    assert (found["method"], found["backbone"], found["dataset"]) == (
        "simclr",
        "small_resnet",
        {"name": "digits", "sha256": "ab" * 32},
    )
    assert found["mlflow_run_id"] == "5f0c" * 8  # the pretraining's
    assert found["git_commit"] == "0123abc+dirty"
    assert "knn" not in found


@pytest.mark.parametrize("order", [("linear", "linear.top1"), ("linear.top1", "linear")])
def test_a_metric_that_is_also_a_group_is_refused(order: tuple[str, str], tmp_path: Path, model: Model) -> None:
    scores = scores_of(tmp_path, linear_eval=[report_inputs.score(name, 0.9, 0.1, 50) for name in order])
    with pytest.raises(InputError, match="linear"):
        merge(STORE, model, scores, None)


@pytest.mark.parametrize(
    ("low", "high", "words", "kind"),
    [
        (0.01, 0.2, "learns", "good"),
        (0.0, 0.2, "no gain shown", "none"),
        (-0.1, 0.2, "no gain shown", "none"),
        (-0.2, -0.01, "worse than its random initialization", "bad"),
        (None, None, "not compared with its random initialization", "none"),
    ],
)
def test_learning_is_claimed_only_above_the_interval(low: float | None, high: float | None, words: str, kind: str) -> None:
    assert judge({"value": 0.1, "low": low, "high": high}) == (words, kind)


def test_headline_and_results_read_as_points_and_percent(tmp_path: Path) -> None:
    gain = report_inputs.score("linear.gain", 0.1604, 0.02, 1000, "random_init", "paired bootstrap")
    rows = [
        report_inputs.score("linear.top1", 0.957, 0.012, 1000),
        report_inputs.score("linear.raw_pixels_top1", 0.9, 0.01, 1000, "raw_pixels"),
    ]
    extra = {"metric": "linear.purity", "value": 0.81234, "low": 0.8, "high": 0.82, "n": 1000, "protocol": "neighbors"}
    scores = scores_of(tmp_path, linear_eval=[*rows, gain, extra])
    top = headline(scores)
    assert top is not None
    assert top.gain is not None
    assert (top.score.value, top.score.unit, top.score.interval, top.score.n) == ("95.7", "%", "94.5 to 96.9", "n = 1,000")
    assert (top.gain.value, top.gain.unit, top.gain.interval, top.verdict) == ("+16.0", "points", "+14.0 to +18.0", "learns")
    (room,) = results(scores)
    assert [cell.label for cell in room.cells] == ["Pretrained", "Raw pixels", "Gain"]
    assert room.protocol == report_inputs.PROTOCOL
    assert room.other_protocols == [("Gain", "paired bootstrap")]
    more = other_scores(scores)
    assert more is not None
    assert more.rows == [("linear.purity", "0.8123 ", "0.8 to 0.82", "n = 1,000", "neighbors")]


@pytest.mark.parametrize(("pixels", "said"), [(0.875, "87.5"), (0.8, None), (0.823, None)])
def test_the_headline_says_when_raw_pixels_score_higher(pixels: float, said: str | None, tmp_path: Path) -> None:
    rows = [report_inputs.score("linear.top1", 0.823, 0.02, 100), report_inputs.score("linear.raw_pixels_top1", pixels, 0.02, 100)]
    top = headline(scores_of(tmp_path, linear_eval=rows))
    assert top is not None
    assert (top.pixels.value if top.pixels else None) == said


def test_no_scores_make_no_headline(tmp_path: Path) -> None:
    scores = Scores(tmp_path)
    assert (headline(scores), results(scores), other_scores(scores)) == (None, [], None)


def test_confusion_and_classes_match_counting_one_by_one() -> None:
    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    oracle = [[sum(1 for a, b in zip(labels, guesses, strict=True) if (a, b) == (i, j)) for j in range(4)] for i in range(4)]
    predictions = pd.DataFrame({"id": range(200), "label": labels, "prediction": guesses})
    assert tables.confusion(predictions, 4).tolist() == oracle
    rows = {row[0]: row for row in tables.per_class(predictions, ["a", "b", "c", "d"]).rows}
    share = oracle[2][2] / sum(oracle[2])
    assert rows["c"][1] == f"{100 * share:.1f} %"
    assert rows["c"][3] == f"{100 * oracle[2][2] / sum(row[2] for row in oracle):.1f} %"
    assert rows["c"][4] == str(sum(oracle[2]))
    shares = [float(row[1].removesuffix(" %")) for row in tables.per_class(predictions, ["a", "b", "c", "d"]).rows]
    assert shares == sorted(shares)


def test_a_class_that_was_not_tested_is_not_listed() -> None:
    predictions = pd.DataFrame({"id": [0, 1], "label": [0, 0], "prediction": [0, 2]})
    table = tables.per_class(predictions, ["a", "b", "c"])
    assert [row[0] for row in table.rows] == ["a"]
    assert table.rows[0][-1] == "c (1)"


def test_unusable_files_are_counted_by_reason() -> None:
    manifest = pd.DataFrame({"path": list("abcd"), "status": ["ok", *["unusable"] * 3], "reason": [None, "empty", "text", "text"]})
    table = tables.unusable(manifest)
    assert table is not None
    assert table.rows == [("text", "2", "c"), ("empty", "1", "b")]
    assert tables.unusable(manifest[:1]) is None


@pytest.mark.parametrize(("seconds", "words"), [(3.14, "3.1 s"), (100, "1.7 min"), (7200, "2.0 h")])
def test_durations_are_short(seconds: float, words: str) -> None:
    assert tables.duration(seconds) == words
