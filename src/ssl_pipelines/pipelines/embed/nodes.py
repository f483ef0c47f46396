"""What the tool does: one call into what embed and search share."""

from __future__ import annotations

from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.inference.config import EmbedConfig
from ssl_pipelines.orchestration.models.choice import Models
from ssl_pipelines.training.runtime import RuntimeConfig


def embed(embed: EmbedConfig, dataset: DatasetConfig, runtime: RuntimeConfig, models: Models) -> None:
    """By any finished model: none is trained for it."""
    from ssl_pipelines.orchestration.models.embeddings import Embedding

    Embedding("embed", embed, dataset.max_pixels, runtime, models).write(embed.source, embed.output)
