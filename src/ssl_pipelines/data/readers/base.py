"""What every reader offers: a cheap listing, cut into chunks that can be sent to another process and read there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.decode import Unusable

if TYPE_CHECKING:
    from ssl_pipelines.data.config import DatasetConfig

Pixels = NDArray[np.uint8]
Label = int | str | None  # index into the reader's classes or a class name; None or a negative index: unlabeled
RawFile = tuple[str, int, int]  # path, bytes, modification time in ns


@dataclass(frozen=True, slots=True)
class RawImage:
    """One row of the manifest to be. Content that is Unusable was refused before it was read."""

    path: str
    split: str | None
    label: Label
    content: bytes | Pixels | Unusable


@dataclass(frozen=True, slots=True)
class Origins:
    """Where a source's labels and splits were found, said with what was ingested; None: at their usual place, or nowhere."""

    labels: str | None = None
    splits: str | None = None
    unread: list[str] = field(default_factory=list)  # columns or arrays


class Chunk(Protocol):
    """Some images of a source: small or already in memory, picklable, read one image at a time."""

    def read(self) -> Iterator[RawImage]: ...


class Reader(ABC):
    """A source of images. Constructing one checks that the source is there and reads nothing."""

    def __init__(self, config: DatasetConfig):
        self.config = config

    @property
    def parallel(self) -> bool:
        """Whether decoding a chunk costs more than sending it to another process."""
        return True

    @property
    @abstractmethod
    def name(self) -> str:
        """What results call this source, if dataset.name does not say."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Images that `chunks` will bring at most."""

    @property
    def total_files(self) -> int:
        """Rows that `chunks` will bring, images or not."""
        return self.total

    @property
    @abstractmethod
    def classes(self) -> list[str] | None:
        """Class names by index; None: they are the labels that occur."""

    @property
    def origins(self) -> Origins:
        return Origins()

    @property
    def notices(self) -> list[str]:
        """What a user would want to know before waiting: one line for each thing that looks like splits or labels and is not read."""
        return []

    @abstractmethod
    def chunks(self, rows: int) -> Iterable[Chunk]:
        """All images, in an order that depends on the source alone, at most `rows` to a chunk."""

    @abstractmethod
    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[bytes | Pixels | Path]:
        """A random sample of at most `limit` images, whose headers tell the number of channels."""

    @abstractmethod
    def raw_files(self) -> Iterable[RawFile]:
        """What the source consists of, without reading it."""


def existing_root(config: DatasetConfig, what: str) -> Path:
    """dataset.root, or an InputError that says what it should hold."""
    if config.root is None:
        raise InputError(f"dataset.root is not set: reader {config.reader!r} needs {what}")
    root = Path(config.root)
    if not root.exists():
        raise InputError(f"dataset.root={config.root!r} does not exist: reader {config.reader!r} needs {what}")
    return root


def raw_file(root: Path, file: Path) -> RawFile:
    stat = file.stat()
    return file.relative_to(root).as_posix() if file != root else file.name, stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True, slots=True)
class ArrayChunk:
    """Images that are in memory already: (n, H, W) or (n, H, W, C)."""

    prefix: str
    first: int  # index of the first, for the path
    images: Pixels
    labels: Sequence[Label]
    splits: Sequence[str | None]

    def read(self) -> Iterator[RawImage]:
        for i, (image, label, split) in enumerate(zip(self.images, self.labels, self.splits, strict=True)):
            yield RawImage(f"{self.prefix}#{self.first + i}", split, label, image)
