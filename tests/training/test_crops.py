"""The line on enlarged crops: its number, and whether something can be done."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ssl_pipelines.data import Store
from ssl_pipelines.training.crops import say_enlargement
from ssl_pipelines.views import ViewRecipe, two_views

PLAN = two_views(ViewRecipe(scale=(0.25, 0.25), ratio=(1.0, 1.0))).resolved(32)  # crops of half the side


def store(size: int, **about: Any) -> Store:
    return cast(Store, SimpleNamespace(size=size, about=about))


@pytest.mark.parametrize(
    ("size", "about", "mean", "level", "said"),
    [
        (32, {"source_side": 100.0}, 2, logging.WARNING, "sources have 100 px where 32 are stored: raise dataset.stored_size"),
        (32, {"source_side": 32.0}, 2, logging.INFO, "no more pixels than the 32 that are stored"),
        (32, {"source_side": 16.0, "enlarged": 2.0}, 4, logging.INFO, "no more pixels"),
        (32, {}, 2, logging.INFO, "no more pixels"),
        (48, {"source_side": 60.0}, 4 / 3, logging.WARNING, "raise dataset.stored_size"),
    ],
)
def test_the_mean_is_said(
    size: int, about: dict[str, Any], mean: float, level: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ssl_pipelines"):
        assert say_enlargement(PLAN, store(size, **about)) == pytest.approx(mean)
    [line] = caplog.records
    assert line.levelno == level
    assert f"crops are enlarged {mean:.2f} times on average" in line.getMessage()
    assert said in line.getMessage()


def test_nothing_is_said_where_crops_are_shrunk(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ssl_pipelines"):
        assert say_enlargement(PLAN, store(64, source_side=500.0)) == pytest.approx(1)
    assert not caplog.records
