"""extract_features: features of every image by the encoder, its random initializations and raw pixels, computed batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_pipelines.artifacts import write_json
from ssl_pipelines.data import Store
from ssl_pipelines.data.seeding import generator
from ssl_pipelines.evaluation.config import ExtractConfig
from ssl_pipelines.evaluation.eval_layer import named_final
from ssl_pipelines.evaluation.likelihood import likelihood_scores, write_likelihood
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.stored import PIXELS, RANDOM_INIT, RAW_PIXELS, SPLITS, TRAINED, StoredFeatures
from ssl_pipelines.methods.base import Method
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
from ssl_pipelines.views.plain import plain_view

Embed = Callable[[Tensor], Mapping[str, Tensor]]  # uint8 (B, S, S, C) -> layer -> (B, D) float32
LABELED = ("train", "validation", "test")
STATISTICS_IMAGES = 2048  # from which a random initialization takes its batch-norm statistics
RAW_SIDE = 32  # raw pixels are area-resized to this side at most


def extract_features(model: Path, store: Path, config: ExtractConfig, seed: int, runtime: RuntimeConfig, out: Path) -> None:
    """Writes trained/, random_init/<i>/, raw_pixels/ and stages.json into the existing folder `out`, for every split of the store;
    likelihood.json where the method has one.

    Memory: one batch, whatever the number of images. Initialization i has the weights of seed + i."""
    opened, device = Store.open(store), set_up(runtime)
    method, dims = load_method(model).to(device), {}
    sources = sources_of(config)
    with progress("extract_features", len(sources) * sum(len(opened.ids(split)) for split in SPLITS), "images") as advance:
        for source in sources:
            embed = _embed(source, model, opened, config.batch_size, seed, device)
            dims[source] = _write(out / source, opened, SPLITS, config.batch_size, embed, advance)
    write_likelihood(out, likelihood_scores(method, opened, seed))
    about = _layers(method, dims[TRAINED], dims[RAW_PIXELS], opened.size)
    write_json(out / "stages.json", about | {"final": _final(method, opened, device)})


def sources_of(config: ExtractConfig) -> list[str]:
    return [TRAINED, *(f"{RANDOM_INIT}/{i}" for i in range(config.random_init_seeds)), RAW_PIXELS]


def extract_source(
    source: str, model: Path, store: Path, config: ExtractConfig, seed: int, runtime: RuntimeConfig, out: Path
) -> StoredFeatures:
    """The features of one source alone, in the existing folder `out`, for the splits that can have labels. Numbers are those of
    `extract_features`."""
    opened, device = Store.open(store), set_up(runtime)
    final = PIXELS if source == RAW_PIXELS else _final(load_method(model).to(device), opened, device)
    embed = _embed(source, model, opened, config.batch_size, seed, device)
    with progress(f"features of {opened.name}, {source}", sum(len(opened.ids(split)) for split in LABELED), "images") as advance:
        dims = _write(out / source, opened, LABELED, config.batch_size, embed, advance)
    return StoredFeatures(out, tuple(dims), (), final)


def _embed(source: str, model: Path, store: Store, batch_size: int, seed: int, device: torch.device) -> Embed:
    """What makes the features of `source`: "trained", "random_init/<i>" or "raw_pixels"."""
    if source == RAW_PIXELS:
        return partial(raw_pixels, side=min(RAW_SIDE, store.view_size))
    if source == TRAINED:
        return _embedder(load_method(model).to(device), device)
    own_seed = seed + int(source.removeprefix(f"{RANDOM_INIT}/"))
    fresh = random_method(model, own_seed).to(device)
    prepare(fresh, store, own_seed)
    set_statistics(fresh, store, batch_size, own_seed, device)
    return _embedder(fresh, device)


def reads(in_channels: int, channels: int) -> bool:
    """Can an encoder of `in_channels` be shown images of `channels`? Gray ones are repeated where it takes three."""
    return channels == in_channels or (channels, in_channels) == (1, 3)


def view_of(images: Tensor, method: Method) -> Tensor:
    """uint8 (B, S, S, C) -> float32 (B, in_channels, s, s), as the method's encoder takes them."""
    return plain_view(_repeated(images, method.in_channels), method.image_size)


def _repeated(images: Tensor, in_channels: int) -> Tensor:
    return images.expand(-1, -1, -1, in_channels) if images.shape[-1] == 1 else images


def raw_pixels(images: Tensor, side: int = RAW_SIDE) -> dict[str, Tensor]:
    """uint8 (B, S, S, C) -> (B, C s s) in [0, 1], s = min(S, side), by area. A store whose images are larger than the views gives
    no more values."""
    return {PIXELS: area_pixels(images.permute(0, 3, 1, 2).float() / 255, side)}


def area_pixels(images: Tensor, side: int = RAW_SIDE) -> Tensor:
    """(B, C, S, S) -> (B, C s s), s = min(S, side), by area."""
    side = min(side, images.shape[-1])
    return F.interpolate(images, size=(side, side), mode="area").flatten(1)


@torch.no_grad()
def prepare(method: Method, store: Store, seed: int) -> None:
    """What a fresh method learns of the images before its first step (a palette), as in pretraining."""
    if type(method).prepare is not Method.prepare:
        drawn = _drawn(store, seed)
        images = torch.from_numpy(store.gather(drawn[:: -(-len(drawn) // store.within_memory(len(drawn)))]).fields["image"])
        method.prepare(_repeated(images, method.in_channels))


@torch.no_grad()
def set_statistics(
    method: Method,
    store: Store,
    batch_size: int,
    seed: int,
    device: torch.device,
    through: Callable[[Tensor], object] | None = None,
) -> None:
    """Running statistics of every batch norm := the mean over batches of train (or unlabeled) images; weights stay as they are.

    Without them the baseline would be too weak, for its norms would not give mean 0 and variance 1. Leaves the method in eval mode.
    `through`: what the images (B, C, H, W) go through; None: the encoder's layers, which is all that features need."""
    norms = [module for module in method.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    method.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
        norm.train()
    for images in _batches(store, _drawn(store, seed), batch_size):
        if len(images) > 1:
            (through or method.stages)(view_of(images.to(device), method))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    method.eval()


def _drawn(store: Store, seed: int) -> NDArray[np.int64]:
    ids = store.ids("train")
    ids = ids if len(ids) else store.pretraining_ids()
    return np.sort(generator(seed, "evaluation/statistics").permutation(ids)[:STATISTICS_IMAGES])


def _embedder(method: Method, device: torch.device) -> Embed:
    method.eval()
    return lambda images: method.stages(view_of(images.to(device), method))


@torch.no_grad()
def _write(
    folder: Path, store: Store, splits: Sequence[str], batch_size: int, embed: Embed, advance: Callable[[int], None]
) -> dict[str, int]:
    """<layer>/<split>.npy and <split>.ids.npy for all layers that `embed` gives; returns their dims."""
    dims: dict[str, int] = {}
    for split in splits:
        ids = store.ids(split)
        tables: dict[str, NDArray[np.float32]] = {}
        for start, images in zip(range(0, len(ids), batch_size), _batches(store, ids, batch_size)):
            for layer, features in embed(images).items():
                rows = features.float().cpu().numpy()
                if layer not in tables:
                    dims[layer] = rows.shape[1]
                    tables[layer] = _table(folder / layer, split, ids, rows.shape[1])
                tables[layer][start : start + len(rows)] = rows
            advance(len(images))
        for table in tables.values():
            table.flush()  # type: ignore[attr-defined]
    return dims


def _table(folder: Path, split: str, ids: NDArray[np.int64], dim: int) -> NDArray[np.float32]:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}.ids.npy", ids)
    return np.lib.format.open_memmap(folder / f"{split}.npy", mode="w+", dtype=np.float32, shape=(len(ids), dim))


def _batches(store: Store, ids: NDArray[np.int64], batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(ids), batch_size):
        yield torch.from_numpy(store.gather(ids[start : start + batch_size]).fields["image"])


@torch.no_grad()
def _final(method: Method, store: Store, device: torch.device) -> str:
    """The stored layer whose features are those of `encode`, told by two images."""
    images = view_of(next(_batches(store, store.pretraining_ids()[:2], 2)).to(device), method)
    layers = method.stages(images)
    return named_final(layers, method.encode(images)) or list(layers)[-1]


def _layers(method: Method, dims: Mapping[str, int], raw: Mapping[str, int], size: int) -> dict[str, Any]:
    layers = [{"name": name, "dim": dim, "pooling": method.pooling} for name, dim in dims.items()]
    return {"judged_at": method.judged_at, "stages": layers, "raw_pixels": {"dim": raw[PIXELS], "size": min(RAW_SIDE, size)}}
