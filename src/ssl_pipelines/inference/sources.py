"""Images that somebody points at: a folder of them, one file, or Parquet files as Hugging Face writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.image_files import NEVER_AN_IMAGE
from ssl_pipelines.data.readers.base import RawFile, RawImage
from ssl_pipelines.data.readers.image_folder import FileChunk, ImageFolder, PlacedFile
from ssl_pipelines.data.readers.parquet import Parquet
from ssl_pipelines.data.readers.parquet_shards import Shard
from ssl_pipelines.data.readers.walk import Entry

PARQUET = ".parquet"
KINDS = "a folder of images, an image file, a .parquet file with images or a folder of them"


def open_source(key: str, path: Path, max_pixels: int) -> Images | Tables:
    """Raises InputError, one line that begins with `key`, where there is nothing to read."""
    if not path.exists():
        raise InputError(f"{key} does not exist; allowed: {KINDS}")
    if path.is_file() and path.suffix != PARQUET:
        return OneImage(path, max_pixels)
    if path.is_file():
        return _filled(key, Tables(path, max_pixels))
    if not path.is_dir():
        raise InputError(f"{key} is neither a file nor a folder; allowed: {KINDS}")
    images = Images(path, max_pixels)
    if images.total_files:
        return images
    if images.left_out[PARQUET]:
        return _filled(key, Tables(path, max_pixels))
    found = ", ".join(f"{kind} ({count:,})" for kind, count in images.left_out.most_common(3)) or "it is empty"
    raise InputError(f"{key} holds no image: {found}; allowed: {KINDS}")


class Images(ImageFolder):
    """Every image file below a folder. Files that were never meant as images are counted in `left_out`."""

    def __init__(self, root: Path, max_pixels: int):
        super().__init__(DatasetConfig(reader="image_folder", root=str(root), max_megapixels=max_pixels / 1e6))

    @cached_property
    def _kept(self) -> list[Entry]:
        return [entry for entry in self._entries if not _never_an_image(entry)]

    @cached_property
    def left_out(self) -> Counter[str]:
        """Ending (or reason) -> files."""
        others = [entry for entry in self._entries if _never_an_image(entry)]
        return Counter(str(entry.problem).removeprefix("not an image file: ") for entry in others)

    @property
    def total_files(self) -> int:
        return len(self._kept)

    def chunks(self, rows: int) -> Iterable[FileChunk]:
        for start in range(0, len(self._kept), rows):
            yield self._chunk(self._kept[start : start + rows])

    def raw_files(self) -> Iterable[RawFile]:
        return [(entry.path, entry.bytes, entry.mtime_ns) for entry in self._kept]

    def image(self, row: int, path: str) -> bytes | None:
        """The encoded image that a listing has under `path`; None where it is there no more."""
        return _bytes(next(self._chunk([Entry(path, _size(self.root / path))]).read()), path)

    def _chunk(self, entries: list[Entry]) -> FileChunk:
        return FileChunk(self.root, [PlacedFile(entry, None, None) for entry in entries], self.config.max_pixels)


class OneImage(Images):
    """A single file, whatever its name ends in."""

    def __init__(self, file: Path, max_pixels: int):
        super().__init__(file.parent, max_pixels)
        self.file = file

    @cached_property
    def _entries(self) -> list[Entry]:
        found = self.file.stat()
        return [Entry(self.file.name, found.st_size, found.st_mtime_ns)]


class Tables(Parquet):
    """Parquet files with a column of encoded images."""

    left_out: ClassVar[Counter[str]] = Counter()  # files of other kinds beside them are no business of this reader

    def __init__(self, root: Path, max_pixels: int):
        super().__init__(DatasetConfig(reader="parquet", root=str(root), max_megapixels=max_pixels / 1e6))

    @cached_property
    def _sorted(self) -> tuple[list[Shard], list[str]]:
        """The shards as they are listed: labels and splits are not read."""
        return self._shards, []

    def image(self, row: int, path: str) -> bytes | None:
        """The encoded image of row `row` of all files; None where another path stands there by now."""
        for shard in self._shards:
            for group, count in enumerate(shard.group_rows):
                if row >= count:
                    row -= count
                    continue
                first = sum(shard.group_rows[:group])
                for batch in shard.batches(group, 64):
                    if row < batch.num_rows:
                        [found] = shard.chunk(first + row, batch.slice(row, 1)).read()
                        return _bytes(found, path)
                    row, first = row - batch.num_rows, first + batch.num_rows
        return None


def _filled(key: str, tables: Tables) -> Tables:
    if not tables.total_files:
        raise InputError(f"{key} holds no image: its Parquet files have no rows; allowed: {KINDS}")
    return tables


def _bytes(found: RawImage, path: str) -> bytes | None:
    return found.content if isinstance(found.content, bytes) and found.path == path else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _never_an_image(entry: Entry) -> bool:
    return entry.problem is not None and entry.problem.startswith(NEVER_AN_IMAGE)
