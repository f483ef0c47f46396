"""parquet: Hugging Face style files. Splits by file or folder name (train-00000-of-00002.parquet, test/0000.parquet), or none.

The image column is `image` or `img`, else the only one of struct{bytes, path} or binary; the label column is `label`, `labels` or
`fine_label` (whole numbers, -1 for none, or names). Class names come from the `huggingface` schema metadata. Row groups are read
one after the other and cut by their bytes, so that memory stays bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import Unusable
from ssl_pipelines.data.readers.base import Label, RawFile, RawImage, Reader, existing_root, raw_file
from ssl_pipelines.data.splits import SPLIT_NAMES

CHUNK_BYTES = 16 << 20  # of encoded images that are sent to a worker at once
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


@dataclass(frozen=True, slots=True)
class _Shard:
    file: Path
    name: str  # relative to the root
    split: str | None
    image: str
    label: str | None
    classes: list[str] | None
    group_rows: list[int]
    group_bytes: list[int]

    def open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.file, buffer_size=1 << 20, pre_buffer=False)

    def batches(self, group: int, rows: int) -> Iterator[pa.RecordBatch]:
        """The row group, cut; columns image, label."""
        average = max(1, self.group_bytes[group] // max(1, self.group_rows[group]))
        columns = [self.image] + ([self.label] if self.label else [])
        try:
            with self.open() as file:
                size = max(1, min(rows, CHUNK_BYTES // average))
                for batch in file.iter_batches(size, row_groups=[group], columns=columns, use_threads=False):
                    yield batch.select(columns)  # the file's own order may be another
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self.file}: row group {group} cannot be read ({error})") from None


class Parquet(Reader):
    def __init__(self, config: DatasetConfig):
        super().__init__(config)
        self.root = existing_root(config, "a .parquet file or a folder of them")

    @property
    def name(self) -> str:
        return self.root.stem if self.root.is_file() else self.root.resolve().name

    @cached_property
    def _files(self) -> list[Path]:
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.parquet"))
        files = [file for file in files if not any(part.startswith(".") for part in file.relative_to(self.root).parts)]
        if not files:
            raise InputError(f"dataset.root={self.config.root!r} holds no .parquet file")
        return files

    @cached_property
    def _shards(self) -> list[_Shard]:
        shards = [_shard(file, file.name if file == self.root else file.relative_to(self.root).as_posix()) for file in self._files]
        return sorted(shards, key=lambda shard: shard.name)

    @cached_property
    def total(self) -> int:
        return sum(sum(shard.group_rows) for shard in self._shards)

    @cached_property
    def classes(self) -> list[str] | None:
        named = [shard for shard in self._shards if shard.classes is not None]
        if different := [shard for shard in named if shard.classes != named[0].classes]:
            raise InputError(f"{different[0].file} has other class names than {named[0].file}")
        return named[0].classes if named else None

    def chunks(self, rows: int) -> Iterable[ParquetChunk]:
        for shard in self._shards:
            first = 0
            for group in range(len(shard.group_rows)):
                for batch in shard.batches(group, rows):
                    yield ParquetChunk(shard.name, shard.split, first, batch)
                    first += batch.num_rows

    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[bytes]:
        """Up to ten images from the start of each of up to limit / 10 row groups."""
        groups = [(shard, group) for shard in self._shards for group, rows in enumerate(shard.group_rows) if rows]
        for i in draw.permutation(len(groups))[: limit // 10]:
            shard, group = groups[i]
            for batch in shard.batches(group, 10):
                images = ParquetChunk(shard.name, shard.split, 0, batch).read()
                yield from (image.content for image in images if isinstance(image.content, bytes))
                break

    def raw_files(self) -> Iterable[RawFile]:
        return [raw_file(self.root, file) for file in self._files]


@dataclass(frozen=True, slots=True)
class ParquetChunk:
    """Some rows of one row group: the image column first, then the label column if there is one."""

    shard: str
    split: str | None
    first: int
    batch: pa.RecordBatch

    def read(self) -> Iterator[RawImage]:
        images, labeled = self.batch.column(0), self.batch.num_columns > 1
        for i in range(self.batch.num_rows):
            content, path = _content(images[i].as_py())
            label: Label = self.batch.column(1)[i].as_py() if labeled else None
            yield RawImage(path or f"{self.shard}#{self.first + i}", self.split, label, content)


def _content(value: Any) -> tuple[bytes | Unusable, str | None]:
    content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    return (Unusable("no bytes in this row") if content is None else content), path


def _shard(file: Path, name: str) -> _Shard:
    try:
        with pq.ParquetFile(file) as opened:
            schema, meta = opened.schema_arrow, opened.metadata
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file} is not a readable Parquet file ({error})") from None
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    label = _label_column(file, schema)
    classes = _class_names(file, schema, label) if label else None
    sizes = [group.num_rows for group in groups], [group.total_byte_size for group in groups]
    return _Shard(file, name, _split_of(name), _image_column(file, schema), label, classes, *sizes)


def _split_of(name: str) -> str | None:
    """By the file's name, else by the nearest folder's."""
    for part in reversed(Path(name).with_suffix("").parts):
        first = re.match(r"[a-zA-Z]+", part)
        if first and first[0].casefold() in SPLIT_NAMES:
            return SPLIT_NAMES[first[0].casefold()]
    return None


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _image_column(file: Path, schema: pa.Schema) -> str:
    fit = [field.name for field in schema if _is_image(field.type)]
    named = [name for name in IMAGE_COLUMNS if name in fit]
    if not named and len(fit) != 1:
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise InputError(f"{file} has the columns {columns}; an image column of struct{{bytes, path}} or binary is expected")
    return str((named or fit)[0])


def _label_column(file: Path, schema: pa.Schema) -> str | None:
    name = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    if name is None:
        return None
    kind = schema.field(name).type
    if not (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    ):
        raise InputError(f"{file}: column {name} is {kind}; whole numbers or names are read")
    return name


def _class_names(file: Path, schema: pa.Schema, label: str) -> list[str] | None:
    text = (schema.metadata or {}).get(b"huggingface")
    try:
        names = json.loads(text)["info"]["features"].get(label, {}).get("names") if text else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: its 'huggingface' metadata cannot be read ({error!r})") from None
    return [str(name) for name in names] if isinstance(names, list) else None
