"""Decoded chunks into one .npy file, written as they come, with a progress bar on a terminal."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self, TypedDict

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ssl_pipelines.data.decode import DecodeSpec, Pixels
from ssl_pipelines.data.decoding import DecodedChunk
from ssl_pipelines.data.manifest import COUNTED, DECODED, Columns

NPY_HEADER = 128  # bytes: magic, version, length, and the dict padded with spaces


def pack_images(
    path: Path, chunks: Iterable[DecodedChunk], spec: DecodeSpec, total: int
) -> tuple[Columns, NDArray[np.int64], dict[str, FieldFacts]]:
    """Writes images.npy, and fields/<name>.npy beside it; the headers come last, when the number of usable images is known. Returns
    what is known of all files, the sums (usable, 2, C), and what is known of every field."""
    columns: Columns = {name: [] for name in (*DECODED, *COUNTED)}
    sums = [np.empty((0, 2, spec.channels), np.int64)]
    with ExitStack() as stack:
        file, advance = stack.enter_context(path.open("wb")), stack.enter_context(_progress(total))
        fields = {name: stack.enter_context(_Field(path.parent / "fields" / f"{name}.npy")) for name in spec.fields}
        file.write(bytes(NPY_HEADER))
        for chunk in chunks:
            file.write(chunk.pixels.data)
            for name, field in fields.items():
                field.write(chunk.fields[name])
            sums.append(chunk.sums)
            for name, values in columns.items():
                values.extend(row.get(name) for row in chunk.rows)
            advance(len(chunk.rows))
        usable = np.concatenate(sums)
        file.seek(0)
        file.write(npy_header((len(usable), spec.size, spec.size, spec.channels)))
        facts = {name: field.finish((len(usable), spec.size, spec.size)) for name, field in fields.items()}
    return columns, usable, facts


class FieldFacts(TypedDict):
    sha256: str  # of its bytes
    usable_share: float  # of the images: where something was found


class _Field:
    """One value a pixel of every image, written as it comes."""

    def __init__(self, path: Path):
        path.parent.mkdir(exist_ok=True)
        self.file, self.digest, self.usable, self.count = path.open("wb"), hashlib.sha256(), 0, 0
        self.file.write(bytes(NPY_HEADER))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, values: Pixels) -> None:
        self.file.write(values.data)
        self.digest.update(values.data)
        self.usable += int((values.reshape(len(values), -1).min(1) < 255).sum()) if len(values) else 0
        self.count += len(values)

    def finish(self, shape: tuple[int, ...]) -> FieldFacts:
        self.file.seek(0)
        self.file.write(npy_header(shape))
        return FieldFacts(sha256=self.digest.hexdigest(), usable_share=self.usable / max(1, self.count))


def npy_header(shape: tuple[int, ...]) -> bytes:
    """NumPy's format 1.0 for uint8, always NPY_HEADER bytes long."""
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).ljust(NPY_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} images/s")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = [TextColumn("ingest"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn()]
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("ingest", total=total)
        yield lambda count: bar.advance(task, count)
