"""The block promote: where models are registered, and what it takes to become the champion."""

from __future__ import annotations

from pydantic import Field

from ssl_pipelines.artifacts import Config


class PromoteConfig(Config):
    name: str = Field(default="encoder", pattern=r"^\w[\w.-]*$", max_length=100)  # of the registered model: models:/<name>@champion
    margin: float = Field(default=0.0, ge=0, lt=1)  # the interval's lower end has to lie above it; 0.01 is a point
    require: bool = False  # exit code 1 where the candidate does not become (or is not already) the champion: a gate
    override: str | None = Field(default=None, min_length=5, max_length=500)  # a person's reason to make it champion all the same
