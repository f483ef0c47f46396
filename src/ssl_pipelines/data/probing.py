"""What is decided for a whole data set before its first image is stored, from a sample that depends on the source alone.

Nothing here is decided image by image, so that the brightness and the bands of two images stay comparable."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.data.decode import WHITE, DecodeSpec
from ssl_pipelines.data.fitting import kept_sides
from ssl_pipelines.data.headers import header, is_wide, opened
from ssl_pipelines.data.readers.base import Reader
from ssl_pipelines.data.seeding import generator

log = logging.getLogger("ssl_pipelines")
HEADERS_PROBED = 1000
PIXELS_PROBED = 64  # images with 16-bit gray, and with a band called alpha, whose pixels are looked at
BRIGHT = 99.9  # percent of an image's pixels that are to be no brighter than white: a few hot pixels do not count
LEAST_BITS = 8
EXTREME_SHARE = 0.5  # share of a sample's alpha values at 0 or 255 from which the band counts as transparency
MOST_ENLARGED = 2  # the stored square's side over that of the views, where the sources are larger than both


@dataclass
class Probed:
    """Of the sampled images."""

    channels: set[int] = field(default_factory=set)
    sides: list[tuple[int, int]] = field(default_factory=list)  # (width, height) px
    bright: list[int] = field(default_factory=list)  # the percentile BRIGHT of each image of 16-bit gray
    alpha: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))  # histogram of the bands called alpha
    alphas: int = 0  # images in it


def decode_spec(config: DatasetConfig, reader: Reader) -> DecodeSpec:
    """How this source's images are decoded, with everything that `dataset` leaves open settled."""
    found = probed(reader.probe(generator(0, "headers"), HEADERS_PROBED), config)
    channels = config.channels if config.channels != "auto" else _channels(found.channels)
    return DecodeSpec(
        size=stored_side(config, found),
        channels=channels,
        max_pixels=config.max_pixels,
        fields=config.fields,
        fit=config.fit,
        white=_white(config, found),
        alpha=_alpha(config, found),
    )


def probed(contents: Iterable[bytes | NDArray[np.uint8] | Path], config: DatasetConfig) -> Probed:
    found = Probed()
    for content in contents:
        seen = header(content)
        if seen is None or seen.width * seen.height > config.max_pixels:
            continue
        found.channels.add(seen.channels)
        found.sides.append((seen.width, seen.height))
        if isinstance(content, np.ndarray):
            continue
        if config.white == "auto" and seen.deep and seen.channels == 1 and len(found.bright) < PIXELS_PROBED:
            found.bright += _brightness(content)
        if config.alpha == "auto" and seen.alpha and found.alphas < PIXELS_PROBED:
            _count_alpha(content, found)
    return found


def stored_side(config: DatasetConfig, found: Probed) -> int:
    """dataset.stored_size; auto: the median side of the sources, from `size` to MOST_ENLARGED times it."""
    if config.stored_size != "auto":
        return config.stored_size
    sides = kept_sides(found.sides, config.fit)
    middle = int(np.median(sides)) if sides else config.size
    return min(max(middle, config.size), MOST_ENLARGED * config.size)


def _channels(found: set[int]) -> int:
    """An array's own number, 1 where all sampled headers are gray, else 3."""
    return next(iter(found)) if len(found) == 1 else 3


def _brightness(content: bytes | Path) -> list[int]:
    try:
        with opened(content) as image:
            return [int(np.percentile(np.asarray(image), BRIGHT, method="higher"))] if is_wide(image) else []
    except MemoryError:
        raise
    except Exception:  # decode will say what is wrong with it
        return []


def _count_alpha(content: bytes | Path, found: Probed) -> None:
    try:
        with opened(content) as image:
            found.alpha += np.asarray(image.getchannel(image.getbands()[-1]).histogram(), np.int64)
            found.alphas += 1
    except MemoryError:
        raise
    except Exception:  # decode will say what is wrong with it
        return


def _white(config: DatasetConfig, found: Probed) -> int:
    """dataset.white; auto: the largest number of the fewest bits, 8 to 16, that hold the sample's bright pixels."""
    if config.white != "auto":
        return config.white
    brightest = max(found.bright, default=0)
    if brightest <= 0:
        return WHITE
    white: int = min(2 ** max(LEAST_BITS, brightest.bit_length()) - 1, WHITE)
    if white != WHITE:
        log.info(f"ingest: 16-bit gray goes up to {brightest:,} in a sample: {white:,} becomes white (dataset.white)")
    return white


def _alpha(config: DatasetConfig, found: Probed) -> bool:
    """dataset.alpha; auto: transparency unless fewer than EXTREME_SHARE of the sample's values are 0 or 255."""
    if config.alpha != "auto" or not found.alphas:
        return config.alpha != "ignore"
    extreme = float(found.alpha[[0, 255]].sum() / max(1, found.alpha.sum()))
    if extreme < EXTREME_SHARE:
        log.warning(
            f"ingest: the band called alpha looks like no transparency (0 or 255 in {extreme:.0%} of its pixels) and is left out; "
            "dataset.alpha=composite or ignore decides"
        )
    return extreme >= EXTREME_SHARE
