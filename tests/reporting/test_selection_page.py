"""The page of the select room from hand-written files."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ssl_pipelines.reporting.selection import trial_table, write_selection_page
from tests.evaluation.evaluation_samples import make_store


def row(metric, value):
    return {"metric": metric, "value": value, "low": value - 0.1, "high": value + 0.1, "n": 50, "protocol": "of <this> test"}


ROWS = [row(f"select.{name}.{budget}.top1", 0.5) for name in ("typicality", "random") for budget in (10, 50)]
ROWS += [row(f"select.typicality.{budget}.gain", 0.25) for budget in (10, 50)]


def test_a_line_a_budget_with_gains():
    table = trial_table({one["metric"]: one for one in ROWS}, ["typicality", "random"], [10, 50])
    assert table.headers == ["Labels", "Typicality", "Random", "Typicality over random"]
    assert table.rows[1] == ("50", "50.0 [40.0, 60.0]", "50.0 [40.0, 60.0]", "+25.0 [+15.0, +35.0]")


def test_chosen_images_with_and_without_scores_and_the_simulation(tmp_path):
    store = make_store(tmp_path / "store", {"train": 10, "unlabeled": 20})
    chosen = pd.DataFrame(
        {"rank": [1, 2, 3], "id": np.arange(3), "path": ["<b>.png", "b.png", "c.png"], "score": [2.0, np.nan, 0.5]}
    )
    chosen.to_parquet(tmp_path / "select.parquet")
    write_selection_page(tmp_path, store, "coreset")
    page = (tmp_path / "select.html").read_text()
    assert "&lt;b&gt;.png" in page
    assert "The 3 chosen images" in page
    assert "Does choosing help?" not in page
    (tmp_path / "select.parquet").unlink()
    (tmp_path / "select.json").write_text(json.dumps(ROWS))
    write_selection_page(tmp_path, store, "coreset")
    page = (tmp_path / "select.html").read_text()
    assert "Chosen images" not in page
    assert "Does choosing help?" in page
    assert "of &lt;this&gt; test" in page
