"""`~` is the home folder in every key that takes a path, and what only looks like it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ssl_pipelines.artifacts.config import in_home
from ssl_pipelines.orchestration.parameters import Parameters

PATHS = {
    "dataset.root": ("dataset", {"reader": "image_folder", "root": "~/x"}),
    "dataset.labels": ("dataset", {"reader": "image_folder", "root": "/r", "labels": "~/x"}),
    "export.folder": ("export", {"folder": "~/x"}),
    "export.model": ("export", {"model": "~/x"}),
    "embed.source": ("embed", {"source": "~/x"}),
    "embed.output": ("embed", {"output": "~/x.parquet"}),
    "embed.model": ("embed", {"model": "~/x"}),
    "search.source": ("search", {"source": "~/x"}),
    "search.query": ("search", {"query": "~/x"}),
    "search.output": ("search", {"output": "~/x"}),
    "compare.runs": ("compare", {"runs": ["~/x", "abcd1234"]}),
    "transfer_eval.models": ("transfer_eval", {"models": {"other": "~/x"}}),
    "transfer_eval.datasets": ("transfer_eval", {"datasets": {"d": {"reader": "npz", "root": "~/x"}}}),
    "pretrain.init_from": ("pretrain", {"epochs": 1, "init_from": "~/x"}),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def parameters(block: str, values: dict) -> Parameters:
    return Parameters.of({"method": "simclr", "pretrain": {"epochs": 1}, block: values})


@pytest.mark.parametrize("key", sorted(PATHS))
def test_every_path_key_means_the_home_folder(home, key):
    block, values = PATHS[key]
    found = parameters(block, values)
    config = found.run.pretrain if block == "pretrain" else found.blocks[block]
    text = str(getattr(config, key.split(".")[1]))
    assert "~" not in text
    assert f"{home}/x" in text


def test_earlier_models_too(home):
    found = Parameters.of({"method": "simclr_v2_distill", "pretrain": {"epochs": 1, "upstream": {"teacher": "~/x"}}})
    assert found.run.pretrain.upstream == {"teacher": f"{home}/x"}


@pytest.mark.parametrize("text", ["models:/encoder@champion", "@champion", "a/~/b", "x~", "~no-such-user-here/x"])
def test_what_only_looks_like_it_stays(home, text):
    assert in_home(text) == text


def test_options_of_commands_too(home, monkeypatch, tmp_path):
    from ssl_pipelines.cli import cli
    from ssl_pipelines.orchestration.leaderboard import board

    called = {}
    monkeypatch.setattr(board, "run", lambda methods, budget, data, docs, place, redo: called.update(data=data, place=place) or [])
    monkeypatch.setattr(board, "last_words", lambda rows, docs: "")
    (home / "x").mkdir()
    done = CliRunner().invoke(cli, ["leaderboard", "--data=~/x", "--work=~/w"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert called == {"data": f"{home}/x", "place": home / "w"}
