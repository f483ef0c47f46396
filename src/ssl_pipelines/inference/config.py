"""The blocks embed and search."""

from __future__ import annotations

from pydantic import ConfigDict, Field, field_validator

from ssl_pipelines.artifacts import Config
from ssl_pipelines.artifacts.config import UserPath

ENDING = ".parquet"


class ModelChoice(Config):
    """Which finished model, and what of it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # a folder may be called 2024

    model: UserPath | None = Field(
        default=None, min_length=1
    )  # a folder, run id, models:/<name>@<alias>, @<alias>; None: data/06_models
    eval_layer: str | None = Field(default=None, min_length=1)
    """The layer whose features are the embedding, `final` for what `encode` gives. None: the one that the model's scores were made at,
    which is also what is served."""
    batch_size: int = Field(default=256, ge=1, le=65536)  # images at a time; the embeddings do not depend on it


class EmbedConfig(ModelChoice):
    source: UserPath | None = Field(default=None, min_length=1)  # a folder of images, an image file, Parquet files with images
    output: UserPath | None = Field(default=None, min_length=1)  # a .parquet file; None: below data/12_embeddings

    @field_validator("output")
    @classmethod
    def _parquet(cls, output: str | None) -> str | None:
        if output is not None and not output.endswith(ENDING):
            raise ValueError(f"a file whose name ends in {ENDING} is expected")
        return output


class SearchConfig(ModelChoice):
    source: UserPath | None = Field(default=None, min_length=1)  # as embed.source, or a file that embed wrote
    query: UserPath | None = Field(default=None, min_length=1)  # as embed.source: what to look for
    k: int = Field(default=12, ge=1, le=1000)  # images to find for each query
    shown: int = Field(default=30, ge=1, le=500)  # queries on the page; results.csv has all
    output: UserPath | None = Field(default=None, min_length=1)  # a folder; None: below data/13_search
