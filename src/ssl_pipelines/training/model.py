"""The model folder: written whole, read back without executing anything."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError, new_file, read_json, write_json
from ssl_pipelines.artifacts.layer import FINAL
from ssl_pipelines.methods.base import Method, Parts
from ssl_pipelines.methods.classifier import Classifier
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.networks.build import build_encoder
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.momentum import follow
from ssl_pipelines.networks.norm import split_norms
from ssl_pipelines.training.checkpoints import load_weights
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.randomness import derive
from ssl_pipelines.training.source import check_source

SCHEMA_VERSION = 1
HEAD = "head.safetensors"  # the linear layer of a fine-tuned network


def build_method(config: RunConfig, data: dict[str, Any], seed: int, upstream: Mapping[str, nn.Module] | None = None) -> Method:
    """A fresh method. `data` = {channels, size, mean, std, num_samples} of the store. Weights are a function of `seed`.

    `upstream`: the frozen models that its loss stands on; a model that is only evaluated needs none."""
    plan = config.method_config.resolved_views(data["size"])
    assert plan.size is not None
    size = plan.size

    def encoder(channels: int | None = None, width: float = 1.0, **changes: Any) -> Encoder:
        channels = channels or data["channels"]
        made = build_encoder(config.backbone.model_copy(update=changes), channels, size, width)
        if channels == len(data["mean"]):
            made.set_statistics(data["mean"], data["std"])
        return made

    cls = method_class(config.method)
    if "rgb" in cls.needs and data["channels"] != 3:
        raise InputError(f"method={config.method!r} needs color images; this store has {data['channels']} channel(s)")
    for name in plan.fields:
        if "fields" in data and name not in data["fields"]:
            raise InputError(
                f"methods.{config.method}.views.backgrounds needs what the store has not: set dataset.fields=[{name}] and ingest again"
            )
    config.method_config.check_data(data["num_samples"], data["channels"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights"))
        parts = Parts(encoder, data["num_samples"], size, config.pretrain.batch_size, data["channels"], upstream or {})
        return cls(config.method_config.model_copy(update={"views": plan}), parts)


def describe(
    config: RunConfig, data: dict[str, Any], method: Method, steps: int, upstream: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of config.json: what rebuilds the method, its budget, and the earlier runs that it depends on."""
    plan = method.config.views
    drawn = steps * config.pretrain.batch_size
    encoder = sum(p.numel() for name in method.encoders for p in method.get_submodule(name).parameters())
    return {
        "schema_version": SCHEMA_VERSION,
        "parameters": config.dump(),
        "data": data,
        "backbone": {"name": config.backbone.name, "dim": method.dim, "pooling": method.pooling, "parameters": encoder},
        "image_size": method.image_size,
        "judged_at": method.judged_at,
        "eval_layer": FINAL if method.judged_at == FINAL else None,  # None: validation chooses it, after the training
        "steps": steps,
        "images_seen": drawn,
        "views_seen": drawn * sum(group.count for group in plan.groups.values()),
        **({"upstream": dict(upstream)} if upstream else {}),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def save_weights(method: Method, folder: Path) -> None:
    """encoder.safetensors: the modules of `encoders`; method.safetensors: the rest, which some stages of `encode` need too."""
    state = {key: value.detach().cpu().contiguous() for key, value in method.state_dict().items()}
    encoder = {key: value for key, value in state.items() if key.split(".")[0] in method.encoders}
    rest = {key: value for key, value in state.items() if key not in encoder}
    for name, part in (("encoder", encoder), ("method", rest)):
        with new_file(folder / f"{name}.safetensors") as partial:
            partial.write_bytes(save(_unshared(part)))


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors, for safetensors refuses tensors that share their storage."""
    return {key: value.clone() for key, value in tensors.items()}


def write_description(folder: Path, description: dict[str, Any]) -> None:
    write_json(folder / "config.json", description)


def read_description(folder: Path) -> dict[str, Any]:
    """config.json of a model folder. Raises InputError for a missing one and an unknown schema."""
    body: dict[str, Any] = read_json(folder / "config.json")
    found = body.get("schema_version") if isinstance(body, dict) else None
    if found != SCHEMA_VERSION:
        raise InputError(f"{folder / 'config.json'}: schema_version={found!r} is unknown; this version reads {SCHEMA_VERSION}")
    return body


def read_weights(folder: Path, *names: str) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name in names:
        path = folder / f"{name}.safetensors"
        try:
            tensors |= load_file(path)
        except FileNotFoundError:
            raise InputError(f"{path} is missing") from None
        except SafetensorError as error:
            raise InputError(f"{path} is not a safetensors file ({error})") from None
    return tensors


def load_method(folder: Path) -> Method:
    """The trained method of a model folder, in evaluation mode, on the CPU."""
    body = read_description(folder)
    method = build_method(RunConfig.load(body["parameters"]), body["data"], seed=0)
    load_weights(method, read_weights(folder, "encoder", "method"), str(folder))
    split_norms(method, 1)  # here and below: statistics for each device's share matter in pretraining alone
    return method.eval()


def load_encoder(folder: Path) -> Method:
    """A method whose encoders alone are trained, for `encode` and `stages`: config.json and encoder.safetensors are all that it needs."""
    body = read_description(folder)
    method = build_method(RunConfig.load(body["parameters"]), body["data"], seed=0)
    load_weights(_Holder(method), read_weights(folder, "encoder"), str(folder))
    split_norms(method, 1)
    return method.eval()


def save_classifier(network: Classifier, description: dict[str, Any], labels_seen: int, folder: Path) -> None:
    """A fine-tuned network as a model folder: `description` is that of the model it started from."""
    save_weights(network.method, folder)
    with new_file(folder / HEAD) as partial:
        partial.write_bytes(save({key: value.detach().cpu().contiguous() for key, value in network.head.state_dict().items()}))
    known = {"num_classes": network.head.out_features, "labels_seen": labels_seen, "eval_layer": network.stage or FINAL}
    write_description(folder, description | known | ({"head_stage": network.stage} if network.stage else {}))


def load_classifier(folder: Path) -> Classifier:
    """The fine-tuned network of a folder that `save_classifier` wrote, in evaluation mode, on the CPU."""
    method = load_method(folder)
    body = read_description(folder)
    network = Classifier(method, int(body["num_classes"]), 0, body.get("head_stage"))
    load_weights(network.head, read_weights(folder, HEAD.removesuffix(".safetensors")), str(folder))
    return network.eval()


def random_method(folder: Path, seed: int) -> Method:
    """The same architecture with fresh weights of `seed`, in training mode: the baseline, and what fine-tuning from scratch starts from."""
    body = read_description(folder)
    method = build_method(RunConfig.load(body["parameters"]), body["data"], seed=derive(seed, "baseline") % 2**31)
    split_norms(method, 1)
    return method


def init_from(method: Method, source: str) -> None:
    """Starts from the encoder of a finished run: a model folder, or an encoder.safetensors file."""
    path = check_source(source)
    weights = read_weights(path.parent, path.stem)
    load_weights(_Holder(method), weights, f"pretrain.init_from={source!r}")
    loaded = {id(method.get_submodule(name)) for name in method.encoders}
    for copied, original in method.followers():
        if id(copied) in loaded:  # a teacher is what is evaluated: the student starts from its weights, not the other way round
            original.load_state_dict(copied.state_dict())
    follow(method.followers(), momentum=0.0)


class _Holder(torch.nn.Module):
    """Holds the modules of a method that `encode` uses, and no others, under their own names."""

    def __init__(self, method: Method):
        super().__init__()
        for name in method.encoders:
            self.add_module(name, method.get_submodule(name))
