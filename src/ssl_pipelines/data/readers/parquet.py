"""parquet: Hugging Face style files. Splits by file or folder name (train-00000-of-00002.parquet, mnist_test.parquet), by a column, or none.

The image column is `image` or `img`, else the only one of struct{bytes, path} or binary, else one of paths; where there are no bytes, the
file that the path names is read, if it lies below the root. The label column is dataset.label_column, else `label`, `labels` or
`fine_label`, else the only one that is called as labels are (whole numbers, -1 or NaN for none, or names). Class names come from the
`huggingface` schema metadata. Row groups are read one after the other and cut by their bytes, so that memory stays bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.readers.base import Origins, RawFile, Reader, existing_root, raw_file
from ssl_pipelines.data.readers.columns import KEY, chosen, label_problem, unread_split
from ssl_pipelines.data.readers.parquet_columns import USUAL_LABEL_COLUMNS, is_empty, is_floating, is_text
from ssl_pipelines.data.readers.parquet_shards import ParquetChunk, Shard, open_shard
from ssl_pipelines.data.readers.parquet_splits import file_splits, split_column, unused_names
from ssl_pipelines.data.readers.walk import is_system_folder, walk
from ssl_pipelines.data.split_names import some


class Parquet(Reader):
    def __init__(self, config: DatasetConfig):
        super().__init__(config)
        self.root = existing_root(config, "a .parquet file or a folder of them")
        self.folder = self.root.parent if self.root.is_file() else self.root

    @property
    def name(self) -> str:
        return self.root.stem if self.root.is_file() else self.root.resolve().name

    @cached_property
    def _files(self) -> list[Path]:
        files = [self.root] if self.root.is_file() else sorted(self.root.rglob("*.parquet"))
        files = [file for file in files if not any(map(_left_out, file.relative_to(self.root).parts))]
        if not files:
            raise InputError(f"dataset.root={self.config.root!r} holds no .parquet file")
        return files

    @cached_property
    def _shards(self) -> list[Shard]:
        """The shards sorted by name, with the splits that their names say. No row is read."""
        shards = [open_shard(file, self.folder, self.config.max_pixels, self.config.label_column) for file in self._files]
        wanted = self.config.label_column
        if wanted is not None and not any(shard.label == wanted for shard in shards):
            where = str(self._files[0]) if len(shards) == 1 else self._where
            chosen(where, wanted, dict.fromkeys(name for shard in shards for name in shard.columns))
        splits = file_splits([shard.name for shard in shards])
        return sorted((replace(shard, split=splits[shard.name]) for shard in shards), key=lambda shard: shard.name)

    @cached_property
    def _sorted(self) -> tuple[list[Shard], list[str]]:
        """The shards with the splits and labels of their rows, and notices for the user. Reads the columns of labels and splits."""
        found = split_column(self._where, self._shards)
        shards = self._labeled(self._shards)
        if isinstance(found, list):
            return shards, found + unused_names(shards)
        return [replace(shard, split=None, split_column=found[0], values=found[1]) for shard in shards], []

    @property
    def _where(self) -> str:
        return f"dataset.root={self.config.root!r}"

    def _labeled(self, shards: list[Shard]) -> list[Shard]:
        """The shards without label columns of an unusual name whose values are no classes. Raises InputError where a column that is
        named in dataset.label_column, or has a usual name, holds no classes."""
        for column in sorted({shard.label for shard in shards if shard.label is not None}):
            own = [shard for shard in shards if shard.label == column]
            meant = column == self.config.label_column or column in USUAL_LABEL_COLUMNS
            kinds = [shard.schema.field(column).type for shard in own]
            if meant and not any(is_text(kind) or is_floating(kind) for kind in kinds):
                continue
            problem = _problem(kinds, [shard.counts(column) for shard in own], meant=meant)
            if problem and meant:
                raise InputError(f"{self._where}: column {column} {problem}")
            if problem:
                unsure = [f"{column} ({problem})"]
                shards = [replace(one, label=None, classes=None, unsure=unsure) if one.label == column else one for one in shards]
        return shards

    @cached_property
    def total(self) -> int:
        return sum(sum(shard.group_rows) for shard in self._shards)

    @cached_property
    def classes(self) -> list[str] | None:
        named = [shard for shard in self._sorted[0] if shard.classes is not None]
        if different := [shard for shard in named if shard.classes != named[0].classes]:
            raise InputError(f"{different[0].file} has other class names than {named[0].file}")
        return named[0].classes if named else None

    @property
    def origins(self) -> Origins:
        shards = self._sorted[0]
        labels = sorted({shard.label for shard in shards if shard.label is not None} - {*USUAL_LABEL_COLUMNS[:1]})
        columns = {shard.split_column for shard in shards if shard.split_column is not None}
        splits = [f"column {column}" for column in columns] or ["file names"] * any(shard.split for shard in shards)
        return Origins(f"column {some(labels)}" if labels else None, splits[0] if splits else None, self._unread)

    @property
    def _unread(self) -> list[str]:
        read = {name for shard in self._sorted[0] for name in (shard.image, shard.label, shard.split_column)}
        return list(dict.fromkeys(name for shard in self._shards for name in shard.columns if name not in read))

    @property
    def notices(self) -> list[str]:
        shards, said = self._sorted
        unsure = list(dict.fromkeys(column for shard in shards for column in shard.unsure))
        if unsure:
            said = [*said, f"no labels are read; columns that might hold them: {some(unsure)}; {KEY} names the one to read"]
        elif self._unread and not any(shard.label for shard in shards):
            said = [*said, f"no labels are read; other columns: {some(self._unread)}; {KEY} names the one that holds them"]
        told = [name for name in self._unread if not any(f" {name} is not used" in line for line in said)]
        labeled = sorted({shard.label for shard in shards if shard.label is not None})
        lacking = [one.name for one in shards if one.label is None and not one.unsure and one.split != "unlabeled"]
        if labeled and lacking:
            missing = f"{len(lacking):,} of {len(shards):,} files, whose images are unlabeled: {some(lacking)}"
            said = [*said, f"column {some(labeled)} is missing in {missing}"]
        if labeled and all(is_empty(one.schema.field(one.label).type) for one in shards if one.label is not None):
            said = [*said, f"no labels are read: column {some(labeled)} is empty"]
        by_path = ["images are read from the files that the Parquet files name"] if any(one.by_path for one in shards) else []
        return said + unread_split(self._where, told) + by_path

    def chunks(self, rows: int) -> Iterable[ParquetChunk]:
        for shard in self._sorted[0]:
            first = 0
            for group in range(len(shard.group_rows)):
                for batch in shard.batches(group, rows):
                    yield shard.chunk(first, batch)
                    first += batch.num_rows

    def probe(self, draw: np.random.Generator, limit: int) -> Iterator[bytes]:
        """Up to ten images from the start of each of up to limit / 10 row groups."""
        groups = [(shard, group) for shard in self._shards for group, rows in enumerate(shard.group_rows) if rows]
        for i in draw.permutation(len(groups))[: limit // 10]:
            shard, group = groups[i]
            for batch in shard.batches(group, 10):
                yield from (image.content for image in shard.chunk(0, batch).read() if isinstance(image.content, bytes))
                break

    def raw_files(self) -> Iterable[RawFile]:
        """With the image files below the root, where the Parquet files name some."""
        files = [raw_file(self.root, file) for file in self._files]
        if any(shard.by_path for shard in self._shards):
            files += [(entry.path, entry.bytes, entry.mtime_ns) for entry in walk(self.folder) if entry.problem is None]
        return files


def _problem(kinds: Sequence[pa.DataType], each: Sequence[Counter[str]], *, meant: bool) -> str | None:
    """Why a column holds no labels, by its type and its counts in every shard that has it. meant: by its name it has to be labels."""
    for kind, counts in zip(kinds, each, strict=True):
        if is_floating(kind) and not all(value.removeprefix("-").isdigit() for value in counts):
            return f"is {kind}: continuous numbers; whole numbers or names are read, one an image"
    counts = sum(each, Counter[str]())
    many = not meant and 2 * len(counts) > counts.total()
    return label_problem(counts) or (f"holds {len(counts):,} different values in {counts.total():,} rows" if many else None)


def _left_out(part: str) -> bool:
    return part.startswith(".") or is_system_folder(part)
