"""What a method must give so that others can predict its codes in place of pixels."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError


@runtime_checkable
class Tokenizer(Protocol):
    @property
    def num_tokens(self) -> int:
        """How many codes there are."""

    def tokens(self, images: Tensor) -> Tensor:
        """images (B, C, S, S) in [0, 1] -> (B, T) int64, row by row, of a square grid."""

    def picture_of(self, tokens: Tensor) -> Tensor:
        """The inverse, as far as it goes: (B, T) -> (B, C, S, S) in [0, 1]."""


def as_tokenizer(model: nn.Module, key: str) -> Tokenizer:
    """Raises InputError where a model makes no tokens. `key`: how the user named it."""
    if not isinstance(model, Tokenizer):
        name = getattr(getattr(model, "config", None), "name", type(model).__name__)
        raise InputError(f"{key} is a run of method={name!r}, which makes no tokens; allowed is a run of dvae")
    return cast(Tokenizer, model)
