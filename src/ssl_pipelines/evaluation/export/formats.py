"""The files of an export, each compared with the trained network on real images before it counts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ssl_pipelines.artifacts import InputError, write_json
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.evaluation.eval_layer import check_eval_layer
from ssl_pipelines.evaluation.export.images import real_images
from ssl_pipelines.evaluation.export.onnx_file import Embedder, NoGraph, write_onnx
from ssl_pipelines.methods.base import Method
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.timm_twin import Twin, twin_of
from ssl_pipelines.training.model import load_encoder, load_method, read_description

TOLERANCE = 1e-4  # the largest difference of an embedding's entry
ENCODER, METHOD, ONNX, TIMM = "encoder.safetensors", "method.safetensors", "encoder.onnx", "timm.safetensors"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how far it is from the trained network; or why it was not."""

    description: dict[str, Any]  # the model's config.json
    eval_layer: str
    dim: int
    differences: dict[str, dict[str, float]]  # file -> batch size -> largest difference
    missing: dict[str, str] = field(default_factory=dict)  # file -> why
    timm_code: list[str] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)


def export(model: Path, eval_layer: str, store: Path | None, out: Path) -> Exported:
    """Writes the files of a model folder, read at `eval_layer`, into the existing folder `out`; method.safetensors too where that layer
    needs more than the encoder. Raises InputError for a layer that the method has not, and where a file's answers are others."""
    description, method = read_description(model), load_method(model)
    images = real_images(store, method.in_channels, method.image_size)
    check_eval_layer("export.eval_layer", eval_layer, method)
    shutil.copy2(model / ENCODER, out / ENCODER)
    clean = _without_paths(description) | {"eval_layer": eval_layer}
    write_json(out / "config.json", clean)
    with torch.no_grad():
        expected = method.encode(images, eval_layer)
        again = load_encoder(out).encode(images, eval_layer)
        if not torch.equal(again, expected):
            shutil.copy2(model / METHOD, out / METHOD)
            again = load_method(out).encode(images, eval_layer)
    differences = {ENCODER: {str(len(images)): float((again - expected).abs().max())}}
    missing: dict[str, str] = {}
    try:
        differences[ONNX] = write_onnx(Embedder(method, eval_layer), images, out / ONNX)
    except NoGraph as reason:
        missing[ONNX] = f"torch or onnxruntime cannot express this network ({reason})"
    found = timm_file(method, description["parameters"]["backbone"]["name"], images, out / TIMM, eval_layer)
    code, mean, std = [], [], []
    if isinstance(found, str):
        missing[TIMM] = found
    else:
        twin, differences[TIMM] = found
        encoder = method.get_submodule(method.encoders[0])
        assert isinstance(encoder, Encoder)
        code, mean, std = twin.code(), encoder.mean.flatten().tolist(), encoder.std.flatten().tolist()
    for name, values in differences.items():
        if not max(values.values()) <= TOLERANCE:
            raise InputError(f"export: {name} gives other embeddings: {values} is above {TOLERANCE:g}; nothing was written")
    return Exported(clean, eval_layer, expected.shape[1], differences, missing, code, mean, std)


@torch.no_grad()
def timm_file(
    method: Method, backbone: str, images: Tensor, path: Path, eval_layer: str = FINAL
) -> tuple[Twin, dict[str, float]] | str:
    """Writes the encoder's weights by timm's names, where timm can build the same network; else says why not."""
    if len(method.encoders) > 1 or not isinstance(encoder := method.get_submodule(method.encoders[0]), Encoder):
        return "the embedding joins several networks, and timm has no such model"
    if encoder.in_channels != method.in_channels:
        return "the encoder reads channels made from the image, not the image"
    if not torch.equal(method.encode(images, eval_layer), method.encode(images)):
        return f"timm's model gives the last layer, this one is read at {eval_layer}: export.eval_layer=final exports that"
    plain = encoder(images)
    if plain.shape != (whole := method.encode(images)).shape or not torch.equal(plain, whole):
        return "the embedding is not what the encoder alone gives: something stands before or behind it"
    twin = twin_of(encoder, backbone, method.image_size)
    if isinstance(twin, str):
        return twin
    model = twin.build()
    try:
        model.load_state_dict(dict(twin.state), strict=True)
        found = model(encoder.normalize(images))
    except RuntimeError as error:
        return f"timm's {twin.name} is another network ({str(error).splitlines()[0][:120]})"
    difference = float((found - plain).abs().max()) if found.shape == plain.shape else float("inf")
    if not difference <= TOLERANCE:
        return f"timm's {twin.name} gives other features (up to {difference:.2g} apart): other strides or layers"
    save_file({key: value.detach().clone().contiguous() for key, value in twin.state.items()}, path)
    return twin, {str(len(images)): difference}


def _without_paths(description: dict[str, Any]) -> dict[str, Any]:
    """An export is to be given away: folders of this machine become names."""
    pretrain = dict(description["parameters"]["pretrain"])
    if pretrain.get("init_from"):
        pretrain["init_from"] = Path(pretrain["init_from"]).name
    pretrain["upstream"] = {name: Path(path).name for name, path in pretrain.get("upstream", {}).items()}
    return description | {"parameters": description["parameters"] | {"pretrain": pretrain}}
