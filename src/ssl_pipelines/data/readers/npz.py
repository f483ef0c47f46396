"""npz: uint8 arrays in one .npz file, read row by row, so that memory stays bounded however large it is.

Either `images` [N, H, W] or [N, H, W, C] with optional `labels` (integers, -1 for none, or names), `split` and `classes` (names),
or a pair of arrays for each split: `x_train`, `y_train`, `x_test`, `y_test` or `train_images`, `train_labels`, and so on.
Nothing pickled is read."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import MAX_CHANNELS, DatasetConfig
from ssl_pipelines.data.readers.base import ArrayChunk, Label, Pixels, RawFile, Reader, existing_root, raw_file
from ssl_pipelines.data.splits import SPLIT_NAMES

CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class _Part:
    """The arrays of one split, or of all."""

    images: str
    labels: str | None
    split: str | None
    shape: tuple[int, ...]


class Npz(Reader):
    def __init__(self, config: DatasetConfig):
        super().__init__(config)
        root = existing_root(config, "an .npz file or a folder with one")
        files = [root] if root.is_file() else sorted(root.glob("*.npz"))
        if len(files) != 1:
            raise InputError(f"dataset.root={config.root!r} holds {len(files)} .npz files, one is read: name it")
        self.file = files[0]

    @property
    def parallel(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def total(self) -> int:
        return sum(part.shape[0] for part in self._parts)

    @cached_property
    def classes(self) -> list[str] | None:
        if "classes" not in self._names:
            return None
        return [str(name) for name in self._column("classes")]

    @cached_property
    def _names(self) -> list[str]:
        try:
            with zipfile.ZipFile(self.file) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        except zipfile.BadZipFile:
            raise InputError(f"{self.file} is not an .npz file") from None

    @cached_property
    def _parts(self) -> list[_Part]:
        if "images" in self._names:
            return [self._part("images", "labels", None)]
        parts = [self._part(images, labels, split) for images, labels, split in map(_pair_of, self._names) if images]
        if not parts:
            raise InputError(f"{self.file} holds {', '.join(self._names) or 'nothing'}: 'images' or 'x_train' is expected")
        return sorted(parts, key=lambda part: part.images)

    def _part(self, images: str, labels: str, split: str | None) -> _Part:
        try:
            with zipfile.ZipFile(self.file) as archive, archive.open(f"{images}.npy") as stream:
                shape, fortran, dtype = _header(stream)
        except (ValueError, zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{self.file}: {images} cannot be read ({error})") from None
        self._check(images, shape, fortran, dtype)
        return _Part(images, labels if labels in self._names else None, split, shape)

    def _check(self, name: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> None:
        found = f"{self.file}: {name} is {dtype} {list(shape)}"
        if dtype != np.uint8 or len(shape) not in (3, 4) or fortran or 0 in shape[1:]:
            raise InputError(f"{found}{', Fortran order' if fortran else ''}; uint8 [N, H, W] or [N, H, W, C] is read")
        if len(shape) == 4 and shape[3] > 4 and shape[1] in (1, 3, 4):
            raise InputError(f"{found}, which looks like [N, C, H, W]; [N, H, W, C] is read")
        if len(shape) == 4 and shape[3] > MAX_CHANNELS:
            raise InputError(f"{found}: {shape[3]} channels, allowed are 1 to {MAX_CHANNELS}")

    def _column(self, name: str) -> NDArray[Any]:
        try:
            with np.load(self.file, allow_pickle=False) as arrays:
                return np.asarray(arrays[name])
        except ValueError as error:
            raise InputError(f"{self.file}: {name} cannot be read ({error})") from None

    def _per_image(self, name: str, count: int) -> NDArray[Any]:
        column = self._column(name)
        if column.size != count or column.ndim not in (1, 2):
            raise InputError(f"{self.file}: {name} has shape {list(column.shape)}, {count} values are expected, one an image")
        if column.dtype.kind == "S":
            column = np.char.decode(column, "utf-8")
        return column.reshape(-1)

    def _labels(self, part: _Part) -> list[Label]:
        if part.labels is None:
            return [None] * part.shape[0]
        column = self._per_image(part.labels, part.shape[0])
        if column.dtype.kind not in "iuU":
            raise InputError(f"{self.file}: {part.labels} is {column.dtype}; integers or names are read")
        return [str(v) if column.dtype.kind == "U" else int(v) for v in column]

    def _splits(self, part: _Part) -> list[str | None]:
        if "split" not in self._names or part.images != "images":
            return [part.split] * part.shape[0]
        values = [str(value).casefold() for value in self._per_image("split", part.shape[0])]
        if unknown := sorted(set(values) - SPLIT_NAMES.keys()):
            raise InputError(f"{self.file}: split={unknown[0]!r} is unknown. Allowed: {', '.join(sorted(SPLIT_NAMES))}")
        return [SPLIT_NAMES[value] for value in values]

    def chunks(self, rows: int) -> Iterable[ArrayChunk]:
        for part in self._parts:
            labels, splits = self._labels(part), self._splits(part)
            with zipfile.ZipFile(self.file) as archive, archive.open(f"{part.images}.npy") as stream:
                _header(stream)
                step = max(1, min(rows, CHUNK_BYTES // int(np.prod(part.shape[1:]))))
                for i in range(0, part.shape[0], step):
                    n = min(step, part.shape[0] - i)
                    images = self._rows(stream, (n, *part.shape[1:]), part.images)
                    yield ArrayChunk(f"{self.file.name}:{part.images}", i, images, labels[i : i + n], splits[i : i + n])

    def _rows(self, stream: IO[bytes], shape: tuple[int, ...], name: str) -> Pixels:
        wanted = int(np.prod(shape))
        try:
            content = stream.read(wanted)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise InputError(f"{self.file}: {name} cannot be read ({error})") from None
        if len(content) != wanted:
            raise InputError(f"{self.file}: {name} ends early")
        return np.frombuffer(content, np.uint8).reshape(shape)

    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[Pixels]:
        for part in self._parts:
            yield np.zeros((1, 1, part.shape[3] if len(part.shape) == 4 else 1), np.uint8)

    def raw_files(self) -> Iterable[RawFile]:
        return [raw_file(self.file.parent, self.file)]


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _pair_of(name: str) -> tuple[str, str, str | None]:
    """x_train -> (x_train, y_train, train); train_images -> (train_images, train_labels, train); else ("", "", None)."""
    for pattern, labels in ((r"x_(?P<split>\w+)", "y_{}"), (r"(?P<split>\w+)_images", "{}_labels")):
        found = re.fullmatch(pattern, name, re.IGNORECASE)
        if found and found["split"].casefold() in SPLIT_NAMES:
            return name, labels.format(found["split"]), SPLIT_NAMES[found["split"].casefold()]
    return "", "", None
