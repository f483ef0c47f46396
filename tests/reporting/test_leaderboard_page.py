"""The page, the list and the pictures of the leaderboard, from rows written by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.reporting.leaderboard import Row, Section, curve_file, ranked, read_rows, row_file, write_board, write_curve

# fmt: off
KEYS = [
    "method", "family", "dataset", "budget", "encoder", "eval_layer", "images_seen", "views_seen", "seconds", "images_per_second",
    "peak_memory", "threads", "linear_top1", "random_init_top1", "gain", "gain_low", "gain_high", "knn_top1", "seed", "fingerprint",
    "code", "verdict", "reason", "proofs",
]
# fmt: on
SECTIONS = [Section("cpu", "CPU budget", "60,000 images drawn.", ["moco"]), Section("gpu", "GPU budget", "200 epochs.")]


def row(method: str, top1: float | None = 0.5, gain: float = 0.1, **changes: Any) -> Row:
    values: dict[str, Any] = {"method": method, "family": "contrastive", "dataset": "cifar10", "budget": "cpu"}
    values |= {"encoder": "resnet_small", "seed": 0, "fingerprint": "f" * 64, "code": "c" * 64}
    if top1 is None:
        return Row(**values | {"verdict": "bug", "reason": "the loss is nan at step 5"} | changes)
    values |= {"eval_layer": "final", "images_seen": 60160, "views_seen": 120320, "seconds": 130.0, "images_per_second": 460.0}
    values |= {
        "peak_memory": 1_200_000_000,
        "threads": 2,
        "linear_top1": top1,
        "random_init_top1": top1 - gain,
        "knn_top1": top1 - 0.05,
    }
    values |= {"gain": gain, "gain_low": gain - 0.01, "gain_high": gain + 0.01, "verdict": "learns" if gain > 0.01 else "miss"}
    return Row(**values | changes)


def test_a_row_is_the_file_that_it_was(tmp_path):
    row("simclr").write(tmp_path)
    assert list(json.loads(row_file(tmp_path, "cpu", "simclr").read_text())) == KEYS
    assert read_rows(tmp_path) == [row("simclr")]


def test_a_file_that_is_no_row_or_lies_elsewhere_is_refused(tmp_path):
    row("simclr").write(tmp_path)
    path = row_file(tmp_path, "cpu", "simclr")
    path.rename(path.with_name("byol.json"))
    with pytest.raises(InputError, match="wrong place"):
        read_rows(tmp_path)
    path.with_name("byol.json").write_text(json.dumps(row("byol").model_dump() | {"verdict": "great"}))
    with pytest.raises(InputError, match=r"verdict='great' is refused"):
        read_rows(tmp_path)


def test_the_best_first_and_what_has_no_score_last():
    rows = [row("a", None), row("b", 0.4), row("c", 0.6), row("d", None)]
    assert [one.method for one in ranked(rows)] == ["c", "b", "a", "d"]


def test_list_and_page(tmp_path):
    rows = [row("a", 0.4, 0.0, reason="the paper is near random, too"), row("b", 0.6, eval_layer="stage3"), row("c", None)]
    write_board(tmp_path, rows, {("cpu", "b")}, SECTIONS)
    listed = json.loads((tmp_path / "leaderboard.json").read_text())
    assert [(one["method"], one["stale"]) for one in listed] == [("b", True), ("a", False), ("c", False)]
    assert list(listed[0]) == [*KEYS, "stale"]
    page = (tmp_path / "leaderboard.md").read_text()
    [b] = [line for line in page.splitlines() if line.startswith("| 1 |")]
    cells = ["[b](leaderboard/cpu/b.json)", "contrastive", "resnet_small, stage3", "60.0 %", "50.0 %", "+10.0 [+9.0, +11.0]"]
    assert b == f"| 1 | {' | '.join(cells)} | 55.0 % | 60,160 | 2 | 460 | 1.2 GB | 2.2 min | learns, stale |"
    assert "1 of 3 learn, 1 miss, 1 with a bug" in page
    assert "Stale, to be made again: b." in page
    assert "No row yet: moco." in page
    assert "- **a** (miss): the paper is near random, too" in page
    assert "- **c** (bug): the loss is nan at step 5" in page
    assert "GPU budget" not in page
    assert "curves.png" not in page


def test_pictures_are_of_every_row_and_the_same_again(tmp_path):
    for method in ("a", "b"):
        row(method).write(tmp_path)
        write_curve(
            curve_file(tmp_path, "cpu", method),
            pd.DataFrame({"step": [1, 2, 2], "name": ["train/loss", "train/loss", "watch/knn_top1"], "value": [3.0, 2.0, 0.3]}),
        )
    rows = [*read_rows(tmp_path), row("c", None)]
    write_board(tmp_path, rows, set(), SECTIONS)
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "leaderboard").glob("*.png")}
    assert set(pictures) == {"cpu.png", "cpu-curves.png"}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert "![Loss and kNN" in (tmp_path / "leaderboard.md").read_text()
    write_board(tmp_path, rows, set(), SECTIONS)
    assert pictures == {path.name: path.read_bytes() for path in (tmp_path / "leaderboard").glob("*.png")}


def test_a_board_of_bugs_alone_is_drawn(tmp_path):
    write_board(tmp_path, [row("a", None)], set(), SECTIONS)
    assert "0 of 1 learn, 1 with a bug" in (tmp_path / "leaderboard.md").read_text()


def test_a_page_without_rows(tmp_path):
    write_board(tmp_path, [], set(), SECTIONS)
    assert json.loads((tmp_path / "leaderboard.json").read_text()) == []
    assert "No row yet." in (tmp_path / "leaderboard.md").read_text()


def test_a_curve_is_a_table_with_a_column_a_name(tmp_path):
    write_curve(tmp_path / "a.csv", pd.DataFrame({"step": [1, 2, 2], "name": ["l", "l", "k"], "value": [1 / 3, 0.25, 0.5]}))
    assert (tmp_path / "a.csv").read_text() == "step,k,l\n1,,0.333333\n2,0.5,0.25\n"
    assert np.isnan(pd.read_csv(tmp_path / "a.csv").k[0])
