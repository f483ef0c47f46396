"""The block promote: where models are registered, and what it takes to become the champion."""

from __future__ import annotations

from pydantic import Field

from ssl_pipelines.artifacts import Config


class PromoteConfig(Config):
    """Under which name models are registered, and what it takes to become the champion."""

    name: str = Field(default="encoder", pattern=r"^\w[\w.-]*$", max_length=100)
    """Name of the registered model: the champion is models:/<name>@champion. Give each kind of data a name of its own."""
    margin: float = Field(default=0.0, ge=0, lt=1)
    """Share of test images, 0 to below 1, that the lower end of the gain's interval over the champion has to exceed; 0.01 is one
    percentage point. Raise it where a switch is costly."""
    require: bool = False
    """Whether the command ends with exit code 1 where the candidate does not become, or is not already, the champion. Turn it on
    where a script is to stop there."""
    override: str | None = Field(default=None, min_length=5, max_length=500)
    """A person's reason, in words, to make the candidate champion although it did not win. It is kept with the version."""
