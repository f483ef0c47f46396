"""extract_features: what the encoder, its random initializations and the raw pixels say about every image, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from ssl_pipelines.evaluation.likelihood import likelihood_scores, write_likelihood
from ssl_pipelines.evaluation.progress import progress
from ssl_pipelines.evaluation.stored import PIXELS, RANDOM_INIT, RAW_PIXELS, SPLITS, TRAINED
from ssl_pipelines.methods.base import Method
from ssl_pipelines.training.model import load_method, random_method
from ssl_pipelines.training.runtime import RuntimeConfig, set_up
from ssl_pipelines.views.plain import plain_view

Embed = Callable[[Tensor], Mapping[str, Tensor]]  # uint8 (B, S, S, C) -> stage -> (B, D) float32
STATISTICS_IMAGES = 2048  # from which a random initialization takes its batch-norm statistics
RAW_SIDE = 32  # raw pixels are area-resized to this side at most


def extract_features(model: Path, store: Path, config: ExtractConfig, seed: int, runtime: RuntimeConfig, out: Path) -> None:
    """Writes trained/, random_init/<i>/, raw_pixels/ and stages.json into the existing folder `out`, for every split of the store;
    likelihood.json where the method has one.

    Memory: one batch, whatever the number of images. Initialization i has the weights of seed + i."""
    opened, device = Store.open(store), set_up(runtime)
    total = (config.random_init_seeds + 2) * sum(len(opened.ids(split)) for split in SPLITS)
    with progress("extract_features", total, "images") as advance:
        method = load_method(model).to(device)
        dims = _write(out / TRAINED, opened, config.batch_size, _embedder(method, device), advance)
        write_likelihood(out, likelihood_scores(method, opened, seed))
        for i in range(config.random_init_seeds):
            fresh = random_method(model, seed + i).to(device)
            prepare(fresh, opened, seed + i)
            set_statistics(fresh, opened, config.batch_size, seed + i, device)
            _write(out / RANDOM_INIT / str(i), opened, config.batch_size, _embedder(fresh, device), advance)
        raw = _write(out / RAW_PIXELS, opened, config.batch_size, raw_pixels, advance)
    write_json(out / "stages.json", _stages(method, dims, raw, opened.size))


def raw_pixels(images: Tensor) -> dict[str, Tensor]:
    """uint8 (B, S, S, C) -> (B, C s s) in [0, 1], s = min(S, 32), by area."""
    return {PIXELS: area_pixels(images.permute(0, 3, 1, 2).float() / 255)}


def area_pixels(images: Tensor) -> Tensor:
    """(B, C, S, S) -> (B, C s s), s = min(S, 32), by area."""
    side = min(RAW_SIDE, images.shape[-1])
    return F.interpolate(images, size=(side, side), mode="area").flatten(1)


@torch.no_grad()
def prepare(method: Method, store: Store, seed: int) -> None:
    """What a fresh method learns of the images before its first step (a palette), as in pretraining."""
    if type(method).prepare is not Method.prepare:
        method.prepare(torch.from_numpy(store.gather(_drawn(store, seed)).fields["image"]))


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

    Else the baseline would be handicapped: its layers do not give mean 0 and variance 1. Leaves the method in eval mode.
    `through`: what the images (B, C, H, W) go through; None: the encoder's stages, which is all that features need."""
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
            (through or method.stages)(plain_view(images.to(device), method.image_size))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    method.eval()


def _drawn(store: Store, seed: int) -> NDArray[np.int64]:
    ids = store.ids("train")
    ids = ids if len(ids) else store.pretraining_ids()
    return np.sort(generator(seed, "evaluation/statistics").permutation(ids)[:STATISTICS_IMAGES])


def _embedder(method: Method, device: torch.device) -> Embed:
    method.eval()
    return lambda images: method.stages(plain_view(images.to(device), method.image_size))


@torch.no_grad()
def _write(folder: Path, store: Store, batch_size: int, embed: Embed, advance: Callable[[int], None]) -> dict[str, int]:
    """<stage>/<split>.npy and <split>.ids.npy for all stages that `embed` gives; returns their dims."""
    dims: dict[str, int] = {}
    for split in SPLITS:
        ids = store.ids(split)
        tables: dict[str, NDArray[np.float32]] = {}
        for start, images in zip(range(0, len(ids), batch_size), _batches(store, ids, batch_size)):
            for stage, features in embed(images).items():
                rows = features.float().cpu().numpy()
                if stage not in tables:
                    dims[stage] = rows.shape[1]
                    tables[stage] = _table(folder / stage, split, ids, rows.shape[1])
                tables[stage][start : start + len(rows)] = rows
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


def _stages(method: Method, dims: Mapping[str, int], raw: Mapping[str, int], size: int) -> dict[str, Any]:
    stages = [{"name": name, "dim": dim, "pooling": method.pooling} for name, dim in dims.items()]
    return {"judged_at": method.judged_at, "stages": stages, "raw_pixels": {"dim": raw[PIXELS], "size": min(RAW_SIDE, size)}}
