"""The page of a search: each query at the left, the images most like it beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssl_pipelines.reporting.page import write_page
from ssl_pipelines.reporting.pictures import png
from ssl_pipelines.reporting.theme import uri

SMALL = 64  # pixels: up to here a picture is kept exactly, and enlarged without smoothing


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture of the page."""

    uri: str
    pixels: bool  # to be enlarged without smoothing


@dataclass(frozen=True, slots=True)
class Hit:
    """A neighbor; `picture` (H, W, 3) uint8, or None where it cannot be shown."""

    path: str
    similarity: float
    same: bool
    picture: NDArray[np.uint8] | None

    @property
    def tile(self) -> Tile | None:
        return None if self.picture is None else tile(self.picture)


@dataclass(frozen=True, slots=True)
class Section:
    """A query, why it could not be read if so, and its neighbors."""

    path: str
    picture: NDArray[np.uint8] | None
    error: str | None
    hits: Sequence[Hit]

    @property
    def tile(self) -> Tile | None:
        return None if self.picture is None else tile(self.picture)


def write_search_page(
    path: Path, query: str, source: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section], queries: int
) -> None:
    """One self-contained page.   queries: of how many `sections` shows some."""
    write_page(path, "search.html.j2", query=query, source=source, facts=facts, sections=sections, queries=queries)


def tile(picture: NDArray[np.uint8]) -> Tile:
    """PNG where it is small, else JPEG: a page of hundreds stays a few megabytes."""
    if max(picture.shape[:2]) <= SMALL:
        return Tile(uri(png(picture)), pixels=True)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return Tile("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii"), pixels=False)
