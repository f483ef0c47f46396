"""Stored images as PNG: single tiles, and sheets of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ssl_pipelines.artifacts import InputError

GAP = 2
TILE = 96  # pixels: a report stays small with large images too


def to_rgb(image: NDArray) -> NDArray:
    """(H, W, C) uint8 -> (H, W, 3): one channel as gray, of more than three the first three, of two the first as gray."""
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)


def png(image: NDArray) -> bytes:
    """(H, W, 3) uint8 -> PNG."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, format="PNG", optimize=True)
    return file.getvalue()


def thumbnail(image: NDArray, side: int = TILE) -> NDArray:
    """(H, W, C) uint8 -> (h, w, 3), not larger than `side`; small images stay as they are."""
    picture = Image.fromarray(np.ascontiguousarray(to_rgb(image)))
    picture.thumbnail((side, side))
    return np.asarray(picture)


def sheet(rows: Sequence[Sequence[NDArray]], frames: Sequence[Sequence[str | None]] | None = None, border: int = 0) -> bytes:
    """Rows of equal-sized (S, S, C) images as one PNG.   frames: a color per image, drawn `border` pixels wide, None for none."""
    size = rows[0][0].shape[0] + 2 * border
    width = max(map(len, rows)) * (size + GAP) - GAP
    page = np.full((len(rows) * (size + GAP) - GAP, width, 3), 128, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            color = frames[i][j] if frames else None
            tile = np.full((size, size, 3), _components(color) if color else (128, 128, 128), dtype=np.uint8)
            tile[border : size - border, border : size - border] = to_rgb(image)
            page[i * (size + GAP) : i * (size + GAP) + size, j * (size + GAP) : j * (size + GAP) + size] = tile
    return png(page)


def read_png(path: Path) -> bytes:
    """The bytes of a PNG that opens. Raises InputError for another file of that name."""
    try:
        with Image.open(path) as image:
            image.verify()
            if image.format == "PNG":
                return path.read_bytes()
    except (OSError, SyntaxError) as error:  # PIL raises SyntaxError for broken PNG chunks
        raise InputError(f"{path} is not a PNG picture ({error})") from error
    raise InputError(f"{path} is not a PNG picture")


def _components(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
