"""npz: uint8 arrays in one .npz file, read row by row, so that memory stays bounded however large it is.

Either `images` [N, H, W] or [N, H, W, C] with optional `labels` (whole numbers, -1 or NaN for none, or names), `split` and `classes` (names),
or a pair of arrays for each split: `x_train`, `y_train`, `x_test`, `y_test` or `train_images`, `train_labels`, and so on. Other
spellings (`X_train`, `target`) are found where one array alone can be meant; dataset.label_column names the labels elsewhere.
Nothing pickled is read."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import MAX_CHANNELS, DatasetConfig
from ssl_pipelines.data.image_files import pointer_words
from ssl_pipelines.data.readers.base import ArrayChunk, Label, Origins, Pixels, RawFile, Reader, existing_root, raw_file
from ssl_pipelines.data.readers.columns import label_problem
from ssl_pipelines.data.readers.npz_arrays import Header, Part, find_labels, find_parts, label_notices, split_arrays, whole_numbers
from ssl_pipelines.data.split_names import SPLIT_NAMES, column_splits, some, split_word

CHUNK_BYTES = 32 << 20


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
        return sum(self._headers[part.images].shape[0] for part in self._parts)

    @cached_property
    def classes(self) -> list[str] | None:
        if "classes" not in self._headers:
            return None
        return [str(name) for name in self._column("classes")]

    @cached_property
    def _headers(self) -> dict[str, Header]:
        try:
            with zipfile.ZipFile(self.file) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                return {name.removesuffix(".npy"): self._header_of(archive, name) for name in names}
        except zipfile.BadZipFile:
            raise InputError(f"{self.file} is not an .npz file{pointer_words(self.file)}") from None

    def _header_of(self, archive: zipfile.ZipFile, name: str) -> Header:
        try:
            with archive.open(name) as stream:
                return _header(stream)
        except (ValueError, SyntaxError, zipfile.BadZipFile, OSError) as error:
            return Header((), False, np.dtype(object), str(error))

    @cached_property
    def _found(self) -> tuple[list[Part], list[str]]:
        parts = find_parts(self._headers)
        if not parts:
            raise InputError(f"{self.file} holds {', '.join(self._headers) or 'nothing'}: 'images' or 'x_train' is expected")
        for part in parts:
            self._check(part.images, self._headers[part.images])
        return find_labels(parts, self._headers, self.config.label_column, str(self.file), self._column)

    @property
    def _parts(self) -> list[Part]:
        return self._found[0]

    def _check(self, name: str, header: Header) -> None:
        shape, dtype = header.shape, header.dtype
        found = f"{self.file}: {name} is {header}"
        if header.problem:
            raise InputError(f"{self.file}: {name} cannot be read ({header.problem})")
        if dtype != np.uint8 or len(shape) not in (3, 4) or header.fortran or 0 in shape[1:]:
            raise InputError(f"{found}{', Fortran order' if header.fortran else ''}; uint8 [N, H, W] or [N, H, W, C] is read")
        if len(shape) == 4 and shape[3] > 4 and (shape[1] in (1, 3, 4) or shape[1] < min(shape[2:])):
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

    def _labels(self, part: Part) -> list[Label]:
        count = self._headers[part.images].shape[0]
        if part.labels is None:
            return [None] * count
        header = self._headers[part.labels]
        if len(header.shape) == 2 and header.shape[0] == count and header.shape[1] > 1:
            raise InputError(f"{self.file}: {part.labels} is {header}: several labels an image; one label an image is read")
        column = self._per_image(part.labels, count)
        if column.dtype.kind == "f" and (whole := whole_numbers(column)) is not None:
            return whole.tolist()
        if column.dtype.kind not in "iubU":
            what = ", no continuous numbers" if column.dtype.kind == "f" else ""
            raise InputError(f"{self.file}: {part.labels} is {column.dtype}; integers or names are read{what}")
        if column.dtype.kind != "U":
            return [str(v) if column.dtype.kind == "b" else int(v) for v in column]
        names = [str(v) for v in column]
        if problem := label_problem(Counter(names)):
            raise InputError(f"{self.file}: {part.labels} {problem}")
        return list(names)

    @cached_property
    def _splits(self) -> tuple[str, list[str | None]] | list[str]:
        """The array that says the splits and what it says; or why there is none, one line an array."""
        said = []
        for name in split_arrays([*self._headers]) if self._parts[0].split is None else []:
            count, header = self._headers[self._parts[0].images].shape[0], self._headers[name]
            if name != "split" and (header.shape != (count,) or header.dtype.kind not in "US"):
                said.append(f"{self.file}: {name} is not used for splits: it is {header}")
                continue
            values = [str(value) for value in self._per_image(name, count)]
            found = column_splits(str(self.file), name, values)
            if isinstance(found, str) and name == "split":
                found = {value: self._known_split(value) for value in values}
            if isinstance(found, dict):
                return name, [found.get(value) for value in values]
            said.append(found)
        return said

    def _known_split(self, value: str) -> str:
        word = split_word(value)
        if word is None:
            raise InputError(f"{self.file}: split={value!r} is unknown. Allowed: {', '.join(sorted(SPLIT_NAMES))}")
        return SPLIT_NAMES[word]

    @property
    def origins(self) -> Origins:
        labels = sorted({part.labels for part in self._parts if part.labels is not None} - {"labels"})
        splits = f"array {self._splits[0]}" if isinstance(self._splits, tuple) else None
        splits = "array names" if self._parts[0].split is not None else splits
        return Origins(f"array {some(labels)}" if labels else None, splits, self._unread)

    @property
    def _unread(self) -> list[str]:
        read = {"classes"} | {name for part in self._parts for name in (part.images, part.labels)}
        read |= {self._splits[0]} if isinstance(self._splits, tuple) else set()
        return [name for name in self._headers if name not in read]

    @property
    def notices(self) -> list[str]:
        said = self._splits if isinstance(self._splits, list) else []
        unread = [name for name in self._unread if not any(f" {name} is not used" in line for line in said)]
        return said + label_notices(self._parts, self._found[1], unread)

    def chunks(self, rows: int) -> Iterable[ArrayChunk]:
        for part in self._parts:
            shape, labels = self._headers[part.images].shape, self._labels(part)
            splits = self._splits[1] if isinstance(self._splits, tuple) else [part.split] * shape[0]
            with zipfile.ZipFile(self.file) as archive, archive.open(f"{part.images}.npy") as stream:
                _header(stream)
                step = max(1, min(rows, CHUNK_BYTES // int(np.prod(shape[1:]))))
                for i in range(0, shape[0], step):
                    n = min(step, shape[0] - i)
                    images = self._rows(stream, (n, *shape[1:]), part.images)
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
            yield np.broadcast_to(np.uint8(0), self._headers[part.images].shape[1:])  # the header tells their shape

    def raw_files(self) -> Iterable[RawFile]:
        return [raw_file(self.file.parent, self.file)]


def _header(stream: IO[bytes]) -> Header:
    read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
    return Header(*read(stream))
