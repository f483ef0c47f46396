"""image_folder: image files in folders. What the folders mean stands in `layout.py`; every file becomes a row, read or not.

Labels may come from a CSV (dataset.labels) with the columns path (relative to root) and label; folders are no classes then, and
files that it does not name, or names without a label, are unlabeled."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import Unusable, too_many_bytes
from ssl_pipelines.data.readers.base import RawFile, RawImage, Reader, existing_root, raw_file
from ssl_pipelines.data.readers.layout import Layout, class_order, infer_layout
from ssl_pipelines.data.readers.walk import Entry, walk


class ImageFolder(Reader):
    def __init__(self, config: DatasetConfig):
        super().__init__(config)
        self.root = existing_root(config, "a folder of images")
        if not self.root.is_dir():
            raise InputError(f"dataset.root={config.root!r} is a file: reader 'image_folder' needs a folder of images")

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @cached_property
    def _entries(self) -> list[Entry]:
        return walk(self.root)

    @cached_property
    def _images(self) -> list[Entry]:
        return [entry for entry in self._entries if entry.problem is None]

    @cached_property
    def _layout(self) -> Layout:
        return infer_layout([tuple(entry.path.split("/")) for entry in self._images])

    @cached_property
    def _labels(self) -> dict[str, str | None] | None:
        if self.config.labels is None:
            return None
        known = {_normal(entry.path) for entry in self._entries}
        return _read_labels(self._labels_file(), known)

    def _labels_file(self) -> Path:
        assert self.config.labels is not None
        candidates = [self.root / self.config.labels, Path(self.config.labels)]
        found = next((file for file in candidates if file.is_file()), None)
        if found is None:
            raise InputError(f"dataset.labels={self.config.labels!r} does not exist: a CSV with columns path,label is needed")
        return found

    @property
    def total(self) -> int:
        return len(self._images)

    @property
    def total_files(self) -> int:
        return len(self._entries)

    @cached_property
    def classes(self) -> list[str]:
        return self._layout.classes if self._labels is None else class_order({name for name in self._labels.values() if name})

    def chunks(self, rows: int) -> Iterable[FileChunk]:
        placed = [self._place(entry) for entry in self._entries]
        for i in range(0, len(placed), rows):
            yield FileChunk(self.root, placed[i : i + rows], self.config.max_pixels)

    def _place(self, entry: Entry) -> PlacedFile:
        split, label = self._layout.place(tuple(entry.path.split("/")))
        if self._labels is not None:
            label = self._labels.get(_normal(entry.path))
        return PlacedFile(entry, split, label)

    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[Path]:
        for i in draw.permutation(len(self._images))[:limit]:
            yield self.root / self._images[i].path

    def raw_files(self) -> Iterable[RawFile]:
        """Without hidden files, which desktops rewrite at will."""
        files = [(entry.path, entry.bytes, entry.mtime_ns) for entry in self._entries if not entry.hidden]
        if self.config.labels is not None:
            file = self._labels_file()
            files.append(raw_file(file.parent, file))
        return files


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file, and what its place or the CSV says of it."""

    entry: Entry
    split: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Files that are read one at a time, where they are decoded."""

    root: Path
    files: list[PlacedFile]
    max_pixels: int

    def read(self) -> Iterator[RawImage]:
        for file in self.files:
            yield RawImage(file.entry.path, file.split, file.label, self._content(file.entry))

    def _content(self, entry: Entry) -> bytes | Unusable:
        problem = entry.problem or too_many_bytes(entry.bytes, self.max_pixels)
        if problem:
            return Unusable(problem)
        try:
            return (self.root / entry.path).read_bytes()
        except OSError as error:
            return Unusable(f"cannot be read: {error.strerror}")


def _normal(path: str) -> str:
    """Comparable spelling: accents may be composed or not, and a CSV may say ./a.png."""
    return unicodedata.normalize("NFC", path.replace("\\", "/").removeprefix("./"))


def _read_labels(file: Path, known: set[str]) -> dict[str, str | None]:
    """path -> class name. Raises InputError for a missing column, a file that is absent, or two labels for one file."""
    import pandas as pd

    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise InputError(f"dataset.labels={str(file)!r} is not a CSV ({error})") from None
    if missing := {"path", "label"} - set(table.columns):
        raise InputError(
            f"dataset.labels={str(file)!r} has no column {sorted(missing)[0]!r}; found: {', '.join(map(str, table.columns))}"
        )
    labels: dict[str, str | None] = {}
    for line, (path, label) in enumerate(zip(table["path"], table["label"], strict=True), start=2):
        key = _normal(path)
        if key not in known:
            raise InputError(f"dataset.labels={str(file)!r} line {line}: {path!r} is not in dataset.root")
        if key in labels and labels[key] != (label or None):
            raise InputError(f"dataset.labels={str(file)!r} line {line}: {path!r} is labeled twice, {labels[key]!r} and {label!r}")
        labels[key] = label or None
    return labels
