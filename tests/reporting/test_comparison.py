"""The page of several runs: what it says of made-up runs whose differences are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import write_json
from ssl_pipelines.reporting.comparison import compare, parameters
from ssl_pipelines.reporting.comparison_figures import RUN_COLORS
from ssl_pipelines.reporting.config import MOST_RUNS
from ssl_pipelines.reporting.inputs import Scores
from ssl_pipelines.reporting.standings import Run


def a_run(folder: Path, name: str, right: int, *, method: str = "simclr", digest: str = "d", **parameters: object) -> Run:
    """Right on the first `right` of 200 test images, by the linear probe alone."""
    folder = folder / name.replace("/", "")
    folder.mkdir(parents=True)
    ids, share = np.arange(200), right / 200
    table = pd.DataFrame({"id": ids, "label": 1, "prediction": (ids < right).astype(int)})
    table.to_parquet(folder / "linear_eval.predictions.parquet", index=False)
    rows = [
        {"metric": "linear.top1", "value": share, "low": share - 0.05, "high": share + 0.05, "n": 200, "protocol": "a probe"},
        {"metric": "linear.random_init_top1", "value": 0.3, "low": 0.25, "high": 0.35, "n": 200},
        {
            "metric": "linear.gain",
            "value": share - 0.3,
            "low": share - 0.4,
            "high": share - 0.2,
            "n": 200,
            "baseline": "random_init",
        },
    ]
    write_json(folder / "linear_eval.json", rows)
    curves = {"train/loss": pd.DataFrame({"step": [1, 2, 3], "value": [3.0, 2.0, 1.0]})}
    return Run(
        name,
        method,
        "digits",
        digest,
        {"seed": 0, "method": method, **parameters},
        Scores(folder),
        curves,
        {},
        {"MLflow run": name},
    )


def page(runs: list[Run], out: Path) -> tuple[str, dict]:
    out.mkdir()
    numbers = compare(runs, 0, out)
    return (out / "comparison.html").read_text(), numbers


def test_the_best_run_is_named_with_its_lead_over_the_next(tmp_path):
    runs = [a_run(tmp_path, "slow", 100), a_run(tmp_path, "fast", 160), a_run(tmp_path, "middling", 130)]
    text, numbers = page(runs, tmp_path / "out")
    assert numbers["best"] == {"linear.top1": "fast"}
    assert "fast is best" in text
    assert "+15.0 points over middling" in text
    assert text.count('<span class="badge good">best</span>') == 1
    assert "30 and 0 of 200 images" in text  # fast alone, middling alone


def test_equals_have_no_best(tmp_path):
    text, numbers = page([a_run(tmp_path, "a", 120), a_run(tmp_path, "b", 119)], tmp_path / "out")
    assert numbers["best"] == {}
    assert "may be chance" in text
    assert 'badge good">best' not in text


def test_other_data_stands_beside_and_is_not_compared(tmp_path):
    text, numbers = page([a_run(tmp_path, "a", 150), a_run(tmp_path, "b", 50, digest="e")], tmp_path / "out")
    assert [pair["why_not"] for pair in numbers["differences"]] == ["not comparable: other data"]
    assert "cannot be held against b" in text


def test_runs_that_no_room_judged_both_have_nothing_to_compare(tmp_path):
    one, other = a_run(tmp_path, "a", 150), a_run(tmp_path, "b", 50)
    (other.scores.folder / "linear_eval.json").unlink()
    write_json(other.scores.folder / "knn_eval.json", [{"metric": "knn.top1", "value": 0.5}])
    text, numbers = page([one, replace(other, scores=Scores(other.scores.folder))], tmp_path / "out")
    assert numbers["differences"] == []
    assert "nothing to compare" in text


def test_names_are_text_and_never_markup(tmp_path):
    text, _ = page([a_run(tmp_path, "<b>x</b>", 150), a_run(tmp_path, "y", 50)], tmp_path / "out")
    assert "<b>x" not in text
    assert "&lt;b&gt;x" in text


def test_parameters_that_all_have_and_those_of_one_method():
    runs = [
        Run("a", "simclr", "digits", "d", {"seed": 0, "method": "simclr", "t": 0.5}, None, {}, {}, {}),
        Run("b", "byol", "digits", "d", {"seed": 0, "method": "byol", "m": None}, None, {}, {}, {}),
    ]
    common, own = parameters(runs)
    assert common is not None
    assert own is not None
    assert (common.headers, common.rows) == (["Parameter", "a", "b"], [("method", "simclr", "byol")])
    assert own.rows == [("t", "0.5", ""), ("m", "", "–")]
    assert parameters([runs[0], runs[0]]) == (None, None)
    runs.append(
        replace(runs[0], name="c", parameters={"seed": 0, "method": "simclr", "t": 0.1})
    )  # what two of three have, and differs
    common, own = parameters(runs)
    assert common is not None
    assert own is not None
    assert common.rows == [("method", "simclr", "byol", "simclr"), ("t", "0.5", "", "0.1")]
    assert own.rows == [("m", "", "–", "")]


@pytest.mark.parametrize("count", [2, MOST_RUNS])
def test_as_many_runs_as_there_are_colors(tmp_path, count):
    assert len(set(RUN_COLORS)) == MOST_RUNS
    methods = ["simclr", "byol"] * 5
    runs = [a_run(tmp_path, f"run{i}", 100 + i, method=methods[i], size=i) for i in range(count)]
    text, numbers = page(runs, tmp_path / "out")
    assert len(numbers["differences"]) == count * (count - 1) // 2
    assert f"{count} runs on digits" in text
