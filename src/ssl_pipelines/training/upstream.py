"""Loads the frozen models of earlier runs that a method depends on. This module knows folders; the pipelines say where they come
from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ssl_pipelines.artifacts import InputError, read_json
from ssl_pipelines.artifacts.files import sha256_of
from ssl_pipelines.methods.classifier import Classifier
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.training.config import RunConfig, lacks_upstream
from ssl_pipelines.training.model import HEAD, build_method, load_classifier, load_method, read_description

WEIGHTS = ("encoder.safetensors", "method.safetensors")
NOTE = "upstream.json"  # beside the checkpoints


def fingerprint(folder: Path) -> str:
    """sha256 over what a model folder computes: its description and weights, wherever it lies. Raises InputError where it is none."""
    found = hashlib.sha256()
    for name in ("config.json", *WEIGHTS, HEAD):
        path = folder / name
        if path.is_file():
            found.update(name.encode())
            found.update(bytes.fromhex(sha256_of(path)))
        elif name != HEAD:
            raise InputError(f"{folder} is no model folder: {name} is missing")
    return found.hexdigest()


def facts(folder: Path) -> dict[str, Any]:
    """What a model's description says of an earlier model that its training used."""
    body = read_description(folder)
    known = {"fingerprint": fingerprint(folder), "method": body["parameters"]["method"], "backbone": body["backbone"]["name"]}
    return known | {"data": body["data"].get("name"), "images_seen": body["images_seen"], "labels_seen": body.get("labels_seen", 0)}


def load_upstream(config: RunConfig, data: Mapping[str, Any]) -> tuple[RunConfig, dict[str, nn.Module]]:
    """The frozen models of `pretrain.upstream`, and the run's config with what it leaves to them filled in.

    `data` = {channels, size, ...} of the store. Raises InputError where one is missing or does not fit."""
    cls, size = method_class(config.method), config.method_config.resolved_views(data["size"]).size
    models: dict[str, nn.Module] = {}
    for name in cls.upstream:
        if name not in config.pretrain.upstream:  # the pretrain stage has trained it by now where it may be left out
            raise lacks_upstream(config.method, name)
    for name, path in config.pretrain.upstream.items():
        key, folder = f"pretrain.upstream.{name}={path!r}", Path(path)
        if not (folder / "config.json").is_file():
            raise InputError(f"{key} is no model folder: config.json is missing there")
        if cls.upstream_is == "classifier" and not (folder / HEAD).is_file():
            raise InputError(
                f"{key} is not fine-tuned: method={config.method!r} needs a classifier, "
                "as the finetune room leaves it: runs:/<id>/finetuned"
            )
        model = load_classifier(folder) if cls.upstream_is == "classifier" else load_method(folder)
        method = model.method if isinstance(model, Classifier) else model
        if method.in_channels != data["channels"]:
            raise InputError(f"{key} reads {method.in_channels} channel(s), this store has {data['channels']}")
        if cls.upstream_same_size and method.image_size != size:
            raise InputError(
                f"{key} was trained on views of {method.image_size} px, this run has {size}: set methods.{config.method}.views.size"
            )
        models[name] = model.requires_grad_(False).eval()
    if models:
        config = config.model_copy(update={"method_config": cls.fitted(config.method_config, models)})
    return config, models


def check_first(config: RunConfig, first: Mapping[str, RunConfig], data: dict[str, Any]) -> None:
    """Raises InputError where what would be trained first would not fit: both are built, untrained."""
    models: dict[str, nn.Module] = {name: build_method(run, data, run.seed).eval() for name, run in first.items()}
    own = method_class(config.method).fitted(config.method_config, models)
    build_method(config.model_copy(update={"method_config": own}), data, config.seed, models)


def check_same(work: Path, stands_on: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises InputError where the training that lies in `work` began on other models."""
    began_with = read_json(work / NOTE) if (work / NOTE).is_file() else {}
    for name in sorted({*stands_on, *began_with}):
        before, now = (side.get(name, {}).get("fingerprint") for side in (began_with, stands_on))
        if before != now:
            raise InputError(f"pretrain.upstream.{name} is another model than the one that the training in {work} began with")
