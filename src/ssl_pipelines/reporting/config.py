"""The parameters of the pages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ssl_pipelines.artifacts.config import ONE_OR_SEVERAL, Config, UserPath

MOST_RUNS = 10  # that can be told apart by color


class ReportConfig(Config):
    """How much the report's pictures show."""

    neighbors_queries: int = Field(default=8, ge=1, le=64)
    """Number of images whose nearest neighbors the report shows."""
    neighbors: int = Field(default=8, ge=1, le=32)
    """Number of nearest neighbors that are shown of each of these images."""
    map_points: int = Field(default=2000, ge=10, le=20_000)
    """Number of images on the map of embeddings; t-SNE takes about 5 s for 2,000 on one core."""
    map: Literal["tsne", "pca"] = "tsne"
    """How embeddings are laid out in the plane: `tsne` shows clusters, `pca` is faster and keeps large distances."""


class CompareConfig(Config):
    """Which runs stand beside each other on one page."""

    # The beginning of an id may look like a number to whoever reads the command line.
    runs: Annotated[tuple[Annotated[UserPath, Field(coerce_numbers_to_str=True)], ...], ONE_OR_SEVERAL] = Field(
        default=(), max_length=MOST_RUNS
    )
    """Runs to compare, up to 10: MLflow run ids or their beginnings, run names, DVC experiments, folders of other checkouts. Empty
    takes the newest."""
    newest: int = Field(default=3, ge=2, le=MOST_RUNS)
    """Number of newest runs that are compared where `runs` is empty."""
