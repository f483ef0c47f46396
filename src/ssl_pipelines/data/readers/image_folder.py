"""image_folder: image files in folders. What the folders mean stands in `layout.py`; every file becomes a row, read or not.

Labels may come from a CSV (dataset.labels), see `label_table.py`; folders are no classes then, and files that it does not name, or names
without a label, are unlabeled. A split that the CSV gives goes before that of the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import Unusable, too_many_bytes
from ssl_pipelines.data.readers.base import Origins, RawFile, RawImage, Reader, existing_root, raw_file
from ssl_pipelines.data.readers.label_table import LabelTable, normal, read_label_table
from ssl_pipelines.data.readers.layout import Layout, class_order, infer_layout
from ssl_pipelines.data.readers.walk import Entry, system_folders, walk
from ssl_pipelines.data.split_names import some


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
    def _table(self) -> LabelTable | None:
        if self.config.labels is None:
            return None
        known = {normal(entry.path) for entry in self._entries}
        return read_label_table(self._labels_file(), self.root, known, self.config.label_column)

    def _labels_file(self) -> Path:
        assert self.config.labels is not None
        candidates = [self.root / self.config.labels, Path(self.config.labels)]
        found = next((file for file in candidates if file.is_file()), None)
        if found is None:
            raise InputError(
                f"dataset.labels={self.config.labels!r} does not exist: a CSV with a column of paths and one of labels is needed"
            )
        return found

    @property
    def total(self) -> int:
        return len(self._images)

    @property
    def total_files(self) -> int:
        return len(self._entries)

    @cached_property
    def classes(self) -> list[str]:
        return self._layout.classes if self._table is None else class_order({name for name in self._table.labels.values() if name})

    @property
    def origins(self) -> Origins:
        if self._table is None:
            return Origins(splits="folders" if self._layout.has_splits else None)
        column = self._table.split_column
        splits = f"column {column}" if column else "folders" if self._layout.has_splits else None
        labels = None if self._table.label_column == "label" else f"column {self._table.label_column}"
        return Origins(labels, splits, self._table.unread)

    @property
    def notices(self) -> list[str]:
        images = [tuple(entry.path.split("/")) for entry in self._images]
        said = system_folders(self._entries) + self._layout.split_notices(images)
        if self._table is not None:
            both = self._table.split_column is not None and self._layout.has_splits
            return said + self._table.notices + (["the folders' splits give way to those of dataset.labels"] if both else [])
        said += self._layout.class_notices(images)
        tables = [entry.path for entry in self._entries if entry.path.casefold().endswith(".csv")]
        if tables and not self._layout.classes:
            said.append(f"no CSV is read unless dataset.labels names it: {some(tables)}")
        return said

    def chunks(self, rows: int) -> Iterable[FileChunk]:
        placed = [self._place(entry) for entry in self._entries]
        for i in range(0, len(placed), rows):
            yield FileChunk(self.root, placed[i : i + rows], self.config.max_pixels)

    def _place(self, entry: Entry) -> PlacedFile:
        split, label = self._layout.place(tuple(entry.path.split("/")))
        if self._table is not None:
            path = normal(entry.path)
            split, label = self._table.splits.get(path) or split, self._table.labels.get(path)
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
