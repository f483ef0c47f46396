"""What methods with a finished teacher ask of it."""

from __future__ import annotations

from typing import Any

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder


def single_encoder(teacher: Any) -> Encoder:
    """The network that the teacher is judged by, for its maps and stages.

    Raises InputError where that is more than one, or where it is not given the images themselves (CPC's is gray)."""
    found, method = [teacher.get_submodule(name) for name in teacher.encoders], teacher.config.name
    if len(found) != 1 or not isinstance(found[0], Encoder):
        raise InputError(f"pretrain.upstream.teacher of method {method!r} has no single encoder whose features could be taken")
    [encoder] = found
    if encoder.in_channels != teacher.in_channels:
        raise InputError(f"pretrain.upstream.teacher of method {method!r} shows its encoder other channels than the images have")
    return encoder
