"""Seeds for the training loop, derived in the same way as those of the views."""

from ssl_pipelines.views.randomness import derive, generator

__all__ = ["derive", "generator"]
