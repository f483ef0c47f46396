"""Seeds for the loop; the draws of views have the same source."""

from ssl_pipelines.views.randomness import derive, generator

__all__ = ["derive", "generator"]
