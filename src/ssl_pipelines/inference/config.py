"""The blocks embed and search."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator

from ssl_pipelines.artifacts import Config
from ssl_pipelines.artifacts.config import UserPath

ENDING = ".parquet"


class ModelChoice(Config):
    """Which finished model, and what of it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # a folder may be called 2024

    model: UserPath | None = Field(default=None, min_length=1)
    """Model that embeds: a model folder, an MLflow run id, models:/name@alias or @alias; null is this project's own in
    data/06_models."""
    eval_layer: str | None = Field(default=None, min_length=1)
    """Layer whose features are the embedding, `final` for what `encode` gives; null is the one that the model's scores were made at,
    which is also what is served."""
    batch_size: int = Field(default=256, ge=1, le=65536)
    """Number of images that are encoded at a time; the embeddings do not depend on it. Lower it where memory runs out."""


class EmbedConfig(ModelChoice):
    """Which images are embedded, by which finished model."""

    source: UserPath | None = Field(default=None, min_length=1)
    """Images to embed: a folder of images, an image file, or Parquet files with images."""
    output: UserPath | None = Field(default=None, min_length=1)
    """File ending in .parquet that the embeddings are written to; null is a file below data/12_embeddings."""

    @field_validator("output")
    @classmethod
    def _parquet(cls, output: str | None) -> str | None:
        if output is not None and not output.endswith(ENDING):
            raise ValueError(f"a file whose name ends in {ENDING} is expected")
        return output


class SearchConfig(ModelChoice):
    """Which images are searched for images like the queries, by which finished model."""

    source: UserPath | None = Field(default=None, min_length=1)
    """Images to search in: a folder of images, an image file, Parquet files with images, or a file that `embed` wrote."""
    query: UserPath | None = Field(default=None, min_length=1)
    """Images to look for: a folder of images, an image file, or Parquet files with images."""
    k: int = Field(default=12, ge=1, le=1000)
    """Number of images that are found for each query."""
    shown: int = Field(default=30, ge=1, le=500)
    """Number of queries that the page shows; results.csv has all. Raise it to look at more."""
    output: UserPath | None = Field(default=None, min_length=1)
    """Folder that the page and results.csv are written to; null is a folder below data/13_search."""
