"""The eval layer: the layer of a network whose features are a sample's representation.

A method fixes it (`judged_at = "final"`: what `encode` gives) or leaves it to validation, and then the linear probe's score says which.
`final` names what `encode` gives of any method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ssl_pipelines.artifacts import InputError, read_json, write_json
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.methods.base import Method
from ssl_pipelines.training.model import read_description

NOTE = "eval_layer.json"  # beside config.json, where a model was logged or exported after its evaluation


def eval_layers(method: Method) -> tuple[str, ...]:
    """What `eval_layer` may be: the method's layers, shallow to deep, and `final`."""
    one = torch.zeros(2, method.in_channels, method.image_size, method.image_size, device=next(method.parameters()).device)
    with torch.no_grad():
        return tuple(dict.fromkeys((*method.stages(one), FINAL)))


def check_eval_layer(key: str, wanted: str | None, method: Method) -> None:
    """Raises InputError, which begins with `key`, for a layer that the method has not."""
    if wanted not in (None, FINAL) and wanted not in (allowed := eval_layers(method)):
        raise unknown(key, wanted, allowed)


def named_final(layers: Mapping[str, Tensor], encoded: Tensor) -> str | None:
    """The layer whose features are those that `encode` gave of the same images, of equals the deepest; None where there is no such
    layer."""
    apart = {name: float((rows - encoded).abs().max()) for name, rows in layers.items() if rows.shape == encoded.shape}
    nearest = min(reversed(apart), key=lambda name: apart[name], default=None)
    # Equal up to the rounding of accelerators.
    near = nearest is not None and torch.allclose(layers[nearest], encoded, rtol=1e-3, atol=1e-5)
    return nearest if near else None


def recorded_eval_layer(model: Path) -> str | None:
    """What a model folder says of itself: config.json where the method fixes the layer, eval_layer.json where validation chose it.

    None where validation is to choose and had not when the folder was written, and in models of earlier versions."""
    fixed = read_description(model).get("eval_layer")
    if fixed is None and (model / NOTE).is_file():
        body = read_json(model / NOTE)
        if not isinstance(body, dict) or not isinstance(body.get("eval_layer"), str):
            raise InputError(f"{model / NOTE}: a mapping with the key eval_layer, a layer's name, is expected")
        fixed = body["eval_layer"]
    return None if fixed is None else str(fixed)


def write_eval_layer(folder: Path, layer: str) -> None:
    """eval_layer.json, which no fingerprint of the model counts: what it computes is the same."""
    write_json(folder / NOTE, {"eval_layer": layer})
