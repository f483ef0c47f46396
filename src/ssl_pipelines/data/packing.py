"""Decoded chunks into one .npy file, written as they come, with a progress bar where somebody can see it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ssl_pipelines.data.decoding import DecodedChunk, DecodeSpec
from ssl_pipelines.data.manifest import DECODED, Columns

NPY_HEADER = 128  # bytes: magic, version, length, and the dict padded with spaces


def pack_images(path: Path, chunks: Iterable[DecodedChunk], spec: DecodeSpec, total: int) -> tuple[Columns, NDArray[np.int64]]:
    """Writes images.npy; the header comes last, when the number of usable images is known. Returns what is known of all files
    and the sums (usable, 2, C)."""
    columns: Columns = {name: [] for name in DECODED}
    sums = [np.empty((0, 2, spec.channels), np.int64)]
    with path.open("wb") as file, _progress(total) as advance:
        file.write(bytes(NPY_HEADER))
        for chunk in chunks:
            file.write(chunk.pixels.data)
            sums.append(chunk.sums)
            for name, values in columns.items():
                values.extend(row.get(name) for row in chunk.rows)
            advance(len(chunk.rows))
        usable = np.concatenate(sums)
        file.seek(0)
        file.write(npy_header((len(usable), spec.size, spec.size, spec.channels)))
    return columns, usable


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
