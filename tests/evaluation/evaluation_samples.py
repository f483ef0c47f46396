"""A store, features and a model folder, small and written by hand after the shared formats."""

import json

import numpy as np
import pandas as pd
import torch

from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.model import build_method, describe, save_weights, write_description

SIZE, CLASSES = 12, ["left", "right", "bottom"]


def blobs(labels, rng):
    """uint8 (N, 12, 12, 3): a bright square whose place is the class, on noise."""
    images = rng.integers(0, 90, (len(labels), SIZE, SIZE, 3))
    for image, label in zip(images, labels, strict=True):
        top, left = [(2, 1), (2, 7), (8, 4)][max(label, 0)]
        image[top : top + 4, left : left + 4] += rng.integers(60, 160)
    return images.clip(0, 255).astype(np.uint8)


def write_store(folder, labels, splits, images, classes=CLASSES):
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    table = pd.DataFrame({"id": np.arange(len(labels)), "split": splits, "status": "ok"})
    table["label"] = pd.array([None if label < 0 else int(label) for label in labels], dtype="Int64")
    table.to_parquet(folder / "manifest.parquet", index=False)
    pixels = images.reshape(-1, images.shape[-1]) / 255
    about = {"schema_version": 1, "name": "blobs", "reader": "npz", "size": SIZE, "channels": images.shape[-1], "classes": classes}
    about |= {"sha256": "0" * 64, "mean": pixels.mean(0).tolist(), "std": pixels.std(0).tolist()}
    (folder / "store.json").write_text(json.dumps(about))
    return folder


def make_store(folder, counts, seed=0, classes=CLASSES):
    """counts: split -> images; labels in turn, none where unlabeled."""
    rng = np.random.default_rng(seed)
    splits = np.concatenate([np.full(n, split) for split, n in counts.items()])
    labels = np.where(splits == "unlabeled", -1, np.arange(len(splits)) % len(CLASSES))
    order = rng.permutation(len(splits))  # ids of a split are not consecutive
    return write_store(folder, labels[order], splits[order], blobs(labels[order], rng), classes)


def make_model(folder, method="simclr", backbone=None, seed=3, data=None):
    """A model folder with fresh weights, its batch-norm statistics moved a little: what a short pretraining leaves."""
    backbone = backbone or {"name": "resnet_small", "width": 0.25}
    config = RunConfig.resolve(
        {"method": method, "backbone": backbone, "pretrain": {"images_seen": 64, "batch_size": 32}, "seed": seed}
    )
    data = data or {"channels": 3, "size": SIZE, "mean": [0.2] * 3, "std": [0.2] * 3, "num_samples": 100}
    built = build_method(config, data, seed)
    with torch.no_grad():
        built.train().encode(torch.rand(32, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    folder.mkdir(parents=True)
    save_weights(built, folder)
    write_description(folder, describe(config, data, built, 2))
    return folder
