"""The parameters of the pages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ssl_pipelines.artifacts.config import ONE_OR_SEVERAL, Config, UserPath

MOST_RUNS = 10  # that can be told apart by color


class ReportConfig(Config):
    neighbors_queries: int = Field(default=8, ge=1, le=64)  # test images whose neighbors are shown
    neighbors: int = Field(default=8, ge=1, le=32)
    map_points: int = Field(default=2000, ge=10, le=20_000)  # t-SNE takes about 5 s for 2,000 on one core
    map: Literal["tsne", "pca"] = "tsne"


class CompareConfig(Config):
    """`runs`: MLflow run ids or the beginnings of them, run names, DVC experiments, folders of other checkouts; empty: the newest."""

    # The beginning of an id may look like a number to whoever reads the command line.
    runs: Annotated[tuple[Annotated[UserPath, Field(coerce_numbers_to_str=True)], ...], ONE_OR_SEVERAL] = Field(
        default=(), max_length=MOST_RUNS
    )
    newest: int = Field(default=3, ge=2, le=MOST_RUNS)  # how many, where none are named
