"""torchvision: any of its classification datasets by class name, from dataset.root or downloaded into it, only if absent.

root defaults to data/01_raw/<name>. The MNIST family is also read from plain idx files in root, and FashionMNIST from where
Debian's dataset-fashion-mnist puts it. Datasets that torchvision holds in memory are cut there; the others are opened in each
worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ssl_pipelines.artifacts import InputError, new_folder
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import Unusable
from ssl_pipelines.data.readers.base import ArrayChunk, Chunk, Pixels, RawFile, RawImage, Reader
from ssl_pipelines.data.readers.idx import STEMS, find_idx, read_idx
from ssl_pipelines.data.readers.torchvision_table import TORCHVISION

IDX_CLASSES = ("FashionMNIST", "KMNIST", "MNIST")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
DECODED_TO_PROBE = 32  # images of each split whose files are decoded to learn their sizes
ABSENT = (RuntimeError, OSError, ImportError)  # how torchvision says that files, the network or a package are not there


class Torchvision(Reader):
    def __init__(self, config: DatasetConfig):
        super().__init__(config)
        assert config.name is not None
        self.dataset = config.name
        self.root = Path(config.root or f"data/01_raw/{config.name}")

    @property
    def name(self) -> str:
        return self.dataset

    @property
    def parallel(self) -> bool:
        return self._idx is None and not all(map(_in_memory, self._sets.values()))

    @cached_property
    def total(self) -> int:
        return sum(len(labels) for _, labels in self._idx.values()) if self._idx else sum(map(len, self._sets.values()))

    @cached_property
    def classes(self) -> list[str] | None:
        from torchvision import datasets

        holder = getattr(datasets, self.dataset) if self._idx else next(iter(self._sets.values()))
        names = getattr(holder, "classes", None)
        return [str(name) for name in names] if isinstance(names, list | tuple) else None

    @cached_property
    def _idx(self) -> dict[str, tuple[Pixels, list[int]]] | None:
        if self.dataset not in IDX_CLASSES:
            return None
        folder = find_idx(self._idx_folders())
        if folder is None:
            self._download()
            folder = find_idx(self._idx_folders())
            assert folder is not None
        return {split: read_idx(folder, split) for split in STEMS}

    def _idx_folders(self) -> list[Path]:
        return [self.root, self.root / self.dataset / "raw", *([DEBIAN] if self.dataset == "FashionMNIST" else [])]

    @cached_property
    def _sets(self) -> dict[str | None, Any]:
        """split -> torchvision's dataset."""
        try:
            return self._open_all()
        except ABSENT:
            self._download()
            return self._open_all()

    def _open_all(self) -> dict[str | None, Any]:
        return {split: _open(self.dataset, str(self.root), split) for split in TORCHVISION[self.dataset]}

    def _download(self) -> None:
        try:
            if self.root.exists() and any(self.root.iterdir()):
                _fetch(self.dataset, self.root)
            else:
                with new_folder(self.root) as folder:  # a killed download leaves no half-unpacked folder that looks whole
                    _fetch(self.dataset, folder)
        except InputError:
            raise
        except ABSENT as error:
            raise InputError(
                f"dataset.name={self.dataset!r} is not in dataset.root={str(self.root)!r} and cannot be downloaded ({error}); "
                "put its files there or check the network"
            ) from None

    def chunks(self, rows: int) -> Iterable[Chunk]:
        for split in TORCHVISION[self.dataset]:
            prefix = f"{self.dataset}/{split}" if split else self.dataset
            if self._idx:
                assert split is not None
                images, labels = self._idx[split]
                for i in range(0, len(labels), rows):
                    part = labels[i : i + rows]
                    yield ArrayChunk(prefix, i, images[i : i + rows], part, [split] * len(part))
                continue
            source = self._sets[split]
            for i in range(0, len(source), rows):
                span = range(i, min(i + rows, len(source)))
                if _in_memory(source):
                    pairs = [source[j] for j in span]
                    images = np.stack([np.asarray(image) for image, _ in pairs])
                    yield ArrayChunk(prefix, i, images, [_label(label) for _, label in pairs], [split] * len(pairs))
                else:
                    yield LazyChunk(self.dataset, str(self.root), split, prefix, span)

    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[Pixels]:
        if self._idx:
            yield self._idx["train"][0][0]
            return
        for source in self._sets.values():
            # Images in memory are all of one shape.
            for i in [0] if _in_memory(source) else draw.permutation(len(source))[: min(limit, DECODED_TO_PROBE)]:
                with suppress(Exception):  # a file that cannot be decoded tells nothing here and becomes a row with its reason
                    yield _pixels(source[int(i)][0])

    def raw_files(self) -> Iterable[RawFile]:
        """The name alone: torchvision checks what it downloads against fixed sums, and the files may not be there yet."""
        return [(f"torchvision {self.dataset}", 0, 0)]


@dataclass(frozen=True, slots=True)
class LazyChunk:
    """Some images of a dataset that decodes when asked; opened once in each process."""

    dataset: str
    root: str
    split: str | None
    prefix: str
    span: range

    def read(self) -> Iterator[RawImage]:
        source = _open_once(self.dataset, self.root, self.split)
        for i in self.span:
            try:
                image, label = source[i]
            except Exception as error:  # the loader decodes: whatever it raises is that file's fault
                yield RawImage(f"{self.prefix}#{i}", self.split, None, Unusable(f"cannot be decoded: {error}"))
                continue
            yield RawImage(f"{self.prefix}#{i}", self.split, _label(label), _pixels(image))


def _open(dataset: str, root: str, split: str | None) -> Any:
    from torchvision import datasets

    return getattr(datasets, dataset)(root, **TORCHVISION[dataset][split])


_open_once = lru_cache(maxsize=8)(_open)  # in a worker


def _fetch(dataset: str, root: Path) -> None:
    from torchvision import datasets

    for arguments in TORCHVISION[dataset].values():
        getattr(datasets, dataset)(str(root), download=True, **arguments)


def _pixels(image: Any) -> Pixels:
    """(H, W) or (H, W, 3) of the image that torchvision has decoded."""
    return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))


def _in_memory(source: Any) -> bool:
    return hasattr(getattr(source, "data", None), "dtype")


def _label(label: Any) -> int | None:
    return None if label is None else int(label)
