"""The idx files of the MNIST family, packed or not: https://yann.lecun.com/exdb/mnist, "File formats"."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError

Pixels = NDArray[np.uint8]
STEMS = {"train": "train", "test": "t10k"}  # split -> how its files begin


def find_idx(folders: list[Path]) -> Path | None:
    """The first folder that holds the four files."""
    return next((folder for folder in folders if all(_files(folder, split) for split in STEMS)), None)


def read_idx(folder: Path, split: str) -> tuple[Pixels, list[int]]:
    """Images (N, H, W) and labels of one split."""
    files = _files(folder, split)
    assert files is not None
    images, labels = (_array(file, dims) for file, dims in zip(files, (3, 1), strict=True))
    if len(images) != len(labels):
        raise InputError(f"{files[0]} holds {len(images)} images, {files[1].name} {len(labels)} labels")
    return images, [int(label) for label in labels]


def _files(folder: Path, split: str) -> tuple[Path, Path] | None:
    found = []
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        names = [folder / f"{STEMS[split]}-{kind}{ending}" for ending in ("", ".gz")]
        found.append(next((name for name in names if name.is_file()), None))
    return (found[0], found[1]) if found[0] and found[1] else None


def _array(file: Path, dims: int) -> Pixels:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file} cannot be unpacked ({error})") from None
    start = 4 + 4 * dims
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    if content[:4] != bytes([0, 0, 8, dims]) or len(content) != start + int(np.prod(shape)):
        raise InputError(f"{file} is not an idx file of {dims}-dimensional bytes, or it ends early")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
