"""What the tool does: one call into the pipeline's own search."""

from __future__ import annotations

from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.inference.config import SearchConfig
from ssl_pipelines.orchestration.models.choice import Models
from ssl_pipelines.training.runtime import RuntimeConfig


def search(search: SearchConfig, dataset: DatasetConfig, runtime: RuntimeConfig, models: Models) -> None:
    """With any finished model: none is trained for it."""
    from ssl_pipelines.orchestration.models.embeddings import Embedding
    from ssl_pipelines.pipelines.search.searching import write_answers

    write_answers(search, Embedding("search", search, dataset.max_pixels, runtime, models))
