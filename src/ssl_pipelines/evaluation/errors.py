"""The exception for data on which an evaluation does not apply."""

from ssl_pipelines.artifacts import InputError


class NotApplicable(InputError):
    """This data cannot be scored this way (no labels, no test images); the rest of the run stands."""
