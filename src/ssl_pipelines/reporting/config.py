"""The report's parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_pipelines.artifacts import Config


class ReportConfig(Config):
    neighbors_queries: int = Field(default=8, ge=1, le=64)  # test images whose neighbors are shown
    neighbors: int = Field(default=8, ge=1, le=32)
    map_points: int = Field(default=2000, ge=10, le=20_000)  # t-SNE takes about 5 s for 2,000 on one core
    map: Literal["tsne", "pca"] = "tsne"
