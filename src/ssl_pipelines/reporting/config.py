"""The parameters of the pages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ssl_pipelines.artifacts import Config

MOST_RUNS = 10  # that can be told apart by color


class ReportConfig(Config):
    neighbors_queries: int = Field(default=8, ge=1, le=64)  # test images whose neighbors are shown
    neighbors: int = Field(default=8, ge=1, le=32)
    map_points: int = Field(default=2000, ge=10, le=20_000)  # t-SNE takes about 5 s for 2,000 on one core
    map: Literal["tsne", "pca"] = "tsne"


class CompareConfig(Config):
    """`runs`: MLflow run ids or the beginnings of them, run names, DVC experiments, folders of other checkouts; empty: the newest."""

    runs: tuple[str, ...] = Field(default=(), max_length=MOST_RUNS)
    newest: int = Field(default=3, ge=2, le=MOST_RUNS)  # how many, where none are named

    @field_validator("runs", mode="before")
    @classmethod
    def _one_or_several(cls, runs: Any) -> Any:
        """One may stand without brackets, and the beginning of an id may look like a number to whoever reads the command line."""
        runs = (runs,) if isinstance(runs, str | int) else runs
        return [str(run) if isinstance(run, int) else run for run in runs] if isinstance(runs, list | tuple) else runs
