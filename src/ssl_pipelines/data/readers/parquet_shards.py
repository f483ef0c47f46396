"""One Parquet file, and some of its rows on their way to a decoder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.decode import Unusable, too_many_bytes
from ssl_pipelines.data.image_files import pointer_words
from ssl_pipelines.data.readers.base import Label, RawImage
from ssl_pipelines.data.readers.parquet_columns import class_names, image_column, label_column, names_files

CHUNK_BYTES = 16 << 20  # of encoded images that are sent to a worker at once


@dataclass(frozen=True, slots=True)
class Shard:
    """A file: what its schema and the names around it tell."""

    file: Path
    root: Path  # the folder below which images that are named by path have to lie
    name: str  # relative to the root
    schema: pa.Schema
    image: str
    by_path: bool  # some images are files of their own
    label: str | None
    unsure: list[str]  # columns that might be labels and are not read
    classes: list[str] | None
    group_rows: list[int]
    group_bytes: list[int]
    max_pixels: int
    split: str | None = None
    split_column: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)  # of the split column -> split

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file, buffer_size=1 << 20, pre_buffer=False)

    def batches(self, group: int, rows: int) -> Iterator[pa.RecordBatch]:
        """The row group, cut; columns image, then label and split where there are such."""
        average = max(1, self.group_bytes[group] // max(1, self.group_rows[group]))
        wanted = {"image": self.image, "label": self.label, "split": self.split_column}
        columns = {kind: name for kind, name in wanted.items() if name is not None}
        try:
            with self.open() as file:
                size = max(1, min(rows, CHUNK_BYTES // average))
                for batch in file.iter_batches(size, row_groups=[group], columns=list(columns.values()), use_threads=False):
                    # The file's own order may be another.
                    yield pa.RecordBatch.from_arrays([batch.column(name) for name in columns.values()], names=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.file}: row group {group} cannot be read ({error})") from None

    def chunk(self, first: int, batch: pa.RecordBatch) -> ParquetChunk:
        """first: the row of the file with which the batch begins."""
        return ParquetChunk(self.name, self.split, first, batch, self.values, (self.file.parent, self.root), self.max_pixels)

    def counts(self, column: str) -> Counter[str]:
        """value -> rows of one column, as text; what is no value (null, NaN) is left out."""
        try:
            values = pq.read_table(self.file, columns=[column], partitioning=None)[column]
            if pa.types.is_float16(values.type):  # which Arrow does not count
                values = values.cast(pa.float32())
            found = values.value_counts().to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.file}: column {column} cannot be read ({error})") from None
        counts = Counter[str]()
        for one in found:
            if (value := _named(one["values"])) is not None:
                counts[str(value)] += one["counts"]
        return counts


def open_shard(file: Path, root: Path, max_pixels: int, wanted_label: str | None) -> Shard:
    """Reads the footer alone. Raises InputError where the file is damaged or holds no images."""
    try:
        with pq.ParquetFile(file) as opened:
            schema, meta = opened.schema_arrow, opened.metadata
            image = image_column(file, schema)
            by_path = names_files(schema, meta, image)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} is not a readable Parquet file ({error}){pointer_words(file)}") from None
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    label, unsure = label_column(file, schema, wanted_label)
    classes = class_names(file, schema, label) if label else None
    sizes = [group.num_rows for group in groups], [group.total_byte_size for group in groups]
    name = file.relative_to(root).as_posix()
    return Shard(file, root, name, schema, image, by_path, label, unsure, classes, *sizes, max_pixels)


@dataclass(frozen=True, slots=True)
class ParquetChunk:
    """Some rows of one row group: columns image, label and split, the latter two where there are such."""

    shard: str
    split: str | None
    first: int
    batch: pa.RecordBatch
    values: Mapping[str, str]  # of the split column -> split
    folders: tuple[Path, Path]  # the file's own and the root: where images that are named by path are looked for
    max_pixels: int

    def read(self) -> Iterator[RawImage]:
        names = self.batch.schema.names
        columns = {name: self.batch.column(name) for name in names}
        for i in range(self.batch.num_rows):
            content, path = self._content(columns["image"][i].as_py())
            label: Label = columns["label"][i].as_py() if "label" in columns else None
            split = self.values.get(str(columns["split"][i].as_py())) if "split" in columns else self.split
            yield RawImage(path or f"{self.shard}#{self.first + i}", split, _named(label), content)

    def _content(self, value: Any) -> tuple[bytes | Unusable, str | None]:
        content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if isinstance(content, str):
            content, path = None, content
        if content is None:
            return (self._file(path) if path else Unusable("no bytes in this row")), path
        return content, path

    def _file(self, path: str) -> bytes | Unusable:
        root = self.folders[1].resolve()
        found = (folder / path.replace("\\", "/") for folder in self.folders)
        try:
            places = [file for one in found if (file := one.resolve()).is_file()]
            place = next((file for file in places if file.is_relative_to(root)), None)
            if place is None:
                return Unusable(
                    f"no bytes in this row, and the file that it names {'lies outside dataset.root' if places else 'is not there'}"
                )
            problem = too_many_bytes(place.stat().st_size, self.max_pixels)
            return Unusable(problem) if problem else place.read_bytes()
        except (OSError, ValueError) as error:
            return Unusable(f"no bytes in this row, and the file that it names cannot be read: {getattr(error, 'strerror', error)}")


def _named(label: Any) -> Label:
    """The label that a value stands for: whole numbers may be written as floating point ones, where NaN is none."""
    if isinstance(label, float):
        return None if math.isnan(label) else int(label) if label.is_integer() else str(label)
    return str(label) if isinstance(label, bool) else label
