"""What the tool does: one call into the pipeline's own comparison."""

from __future__ import annotations

from ssl_pipelines.orchestration.mlflow.tracking import Tracker
from ssl_pipelines.reporting.config import CompareConfig


def compare(compare: CompareConfig, seed: int, tracker: Tracker) -> None:
    """Of finished runs, wherever they were made."""
    from ssl_pipelines.pipelines.compare.comparison import write_comparison

    write_comparison(compare, seed, tracker)
