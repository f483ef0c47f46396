"""How an image of any shape fills a stored square.

- `square`: the centered square, resized. What lies beyond it, such as both ends of a panorama, is lost.
- `pad`: the whole image, its long side as long as the square, in the middle of black.
- `long`: the whole image at the same place and size; the rest repeats it, mirrored at its edges, so that no crop is without pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from ssl_pipelines.data.config import Fit


def cut(image: Image.Image, fit: Fit) -> Image.Image:
    """The part of the image that is stored: its centered square, or all of it."""
    side = min(image.size)
    if fit != "square" or image.size == (side, side):
        return image
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def filled(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """What `cut` has left, mode L or RGB, as (size, size): bicubic, antialiased, large reductions first by whole factors."""
    if fit == "square":
        return _resized(image, size, size)
    width, height = (max(1, round(side * size / max(image.size))) for side in image.size)
    whole = _resized(image, width, height)
    left, top = (size - width) // 2, (size - height) // 2
    if fit == "pad":
        square = Image.new(image.mode, (size, size))
        square.paste(whole, (left, top))
        return square
    pixels = np.asarray(whole)
    around = ((top, size - height - top), (left, size - width - left), *[(0, 0)] * (pixels.ndim - 2))
    return Image.fromarray(np.pad(pixels, around, mode="symmetric"))


def kept_sides(sides: Iterable[tuple[int, int]], fit: Fit) -> list[int]:
    """px of each source (width, height) that the side of the stored square shows."""
    return [(min if fit == "square" else max)(both) for both in sides]


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
