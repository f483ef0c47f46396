"""Real pixels without a network: crops of the two photographs that scikit-learn carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def crops(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """(count, size, size, 3): boxes of 1 to 4 times the size from both photographs, shrunk to it."""
    from sklearn.datasets import load_sample_images  # a second, which not every child of a benchmark has to wait for

    random, photos = np.random.default_rng(seed), [Image.fromarray(photo) for photo in load_sample_images().images]
    found = np.empty((count, size, size, 3), np.uint8)
    for k in range(count):
        photo = photos[k % len(photos)]
        side = int(random.integers(size, min(4 * size, *photo.size) + 1))
        left, top = (int(random.integers(0, edge - side + 1)) for edge in photo.size)
        found[k] = np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side)))
    return found


def labels(count: int) -> NDArray[np.int64]:
    """Ten classes of equal size, for stores that must have some."""
    return np.arange(count) % 10


def green_ranks(pixels: NDArray[np.uint8], classes: int = 10) -> NDArray[np.int64]:
    """(N,): classes of equal size, ranks of each image's mean green with noise, so that a linear probe has something to find."""
    green = pixels[..., 1].mean((1, 2)) + np.random.default_rng(0).normal(size=len(pixels)) * 20
    ranks: NDArray[np.int64] = np.argsort(np.argsort(green)) * classes // len(pixels)
    return ranks


def write_jpegs(folder: Path, count: int, size: int) -> list[Path]:
    """`count` JPEG files of size x size in ten class folders."""
    paths = []
    for k, pixels in enumerate(crops(count, size)):
        path = folder / f"class{k % 10}" / f"{k:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
        paths.append(path)
    return paths
