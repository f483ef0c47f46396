"""Stores to train from, made by the same ingestion as everybody's."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.photos import crops, labels
from ssl_pipelines.data import Store
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.ingestion import ingest
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.feed import Feed
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.training.runtime import RuntimeConfig, set_up


def photo_store(folder: Path, count: int, size: int = 32, distinct: int = 4000) -> Path:
    """A store of `count` crops; beyond `distinct` ones they come again with another number in their first pixels."""
    pixels = np.resize(crops(min(count, distinct), size), (count, size, size, 3))
    if count > distinct:
        pixels[:, 0, :2] = np.arange(count)[:, None, None] // np.array([1, 256, 65536]) % 256
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "photos.npz", images=pixels, labels=labels(count))
    config = DatasetConfig.of({"reader": "npz", "root": str(folder / "photos.npz"), "size": size}, "dataset")
    (folder / "store").mkdir()
    ingest(config, 0, folder / "store", 1)
    return folder / "store"


def simclr_loop(
    store_folder: Path,
    backbone: str,
    steps: int,
    batch_size: int = 256,
    *,
    device: torch.device | None = None,
    precision: str = "fp32",
) -> Loop:
    """What `kedro run --pipeline=pretrain` drives; on the CPU, or on `device`."""
    device = device or torch.device("cpu")
    store = Store.open(store_folder)
    values = {
        "method": "simclr",
        "backbone": {"name": backbone},
        "pretrain": {"images_seen": steps * batch_size, "batch_size": batch_size},
    }
    config = RunConfig.resolve(values)
    method = build_method(config, data_facts(store), 0).to(device)
    feed = Feed(store, method.config.views, batch_size, 1, 0, device)
    return Loop(method, feed, config.pretrain.optimizer, steps, 0, precision)


def timed_training(store: Path, warm: int, steps: int, runtime: RuntimeConfig | None = None) -> tuple[float, list[float]]:
    """SimCLR with resnet_small, batch 256: (images a second after the first `warm` steps, the losses)."""
    set_up(runtime or RuntimeConfig())
    loop, losses, began = simclr_loop(store, "resnet_small", warm + steps), [], 0.0
    for step in range(warm + steps):
        if step == warm:
            began = time.perf_counter()
        losses.append(float(loop.run_step(step).loss))
    done = time.perf_counter()
    loop.feed.close()
    return 256 * steps / (done - began), losses
