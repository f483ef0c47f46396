"""Foreground masks without labels: what differs in color from the image's border, cut off at Otsu's threshold.

The border cue of Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS", ICCV 2015: the four strips of the border are
taken for background, each with the mean and the covariance of its colors; a pixel is salient by its Mahalanobis distance to them,
the strip that is most different left out, for there the object may touch the border. Differs: RGB (or whatever the channels are)
instead of L*a*b*, and the cue alone, without the barrier distance. Otsu 1979 cuts the map in two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

BORDER = 0.1  # of the side
SMALLEST, LARGEST = 0.05, 0.9  # share of the image that a foreground may take
RIDGE = 1e-4  # added to the covariance of colors in [0, 1]: a border of one color has none
BLUR_TO = 32  # the map is blurred by a pixel in so many

Pixels = NDArray[np.uint8]


def saliency_mask(image: Pixels) -> Pixels:
    """uint8 (S, S, C) -> (S, S): 255 foreground, 0 background. All foreground where what was found is implausible: nothing can be
    told from it, and whoever puts another background behind the image leaves it as it is."""
    values = saliency_map(image)
    mask = values > otsu_threshold(values)
    plausible = SMALLEST <= mask.mean() <= LARGEST
    return (mask * np.uint8(255)) if plausible else np.full(mask.shape, 255, np.uint8)


def saliency_map(image: Pixels) -> Pixels:
    """uint8 (S, S, C) -> (S, S) from 0 to 255, the most salient pixel."""
    pixels, width = image.astype(np.float64) / 255, max(1, round(BORDER * len(image)))
    strips = (pixels[:width], pixels[-width:], pixels[:, :width], pixels[:, -width:])
    distances = np.stack([_distance(pixels, strip.reshape(-1, image.shape[2])) for strip in strips])  # (4, S, S)
    found = distances.sum(0) - distances.max(0)
    scaled = np.rint(255 * found / max(found.max(), 1e-12)).astype(np.uint8)
    return np.asarray(Image.fromarray(scaled).filter(ImageFilter.BoxBlur(max(1, len(image) // BLUR_TO))))


def _distance(pixels: NDArray[np.float64], strip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mahalanobis distance of every pixel to the colors (n, C) of a strip, over its largest."""
    centered = strip - strip.mean(0)
    inverse = np.linalg.inv(centered.T @ centered / len(strip) + RIDGE * np.eye(strip.shape[1]))
    off = pixels - strip.mean(0)
    distance = np.sqrt(np.einsum("hwc,cd,hwd->hw", off, inverse, off))
    largest: float = distance.max()
    return distance / max(largest, 1e-12)


def otsu_threshold(values: Pixels) -> int:
    """The t for which the variance between {v <= t} and {v > t} is largest; the lowest of equals."""
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below, total = counts.cumsum(), counts.sum()
    sums = (counts * np.arange(256)).cumsum()
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums * total - below * sums[-1]) ** 2 / (below * above)
    return int(np.nanargmax(np.where(below * above > 0, between, -1)))


FIELDS = {"saliency": saliency_mask}  # name -> uint8 (S, S, C) to uint8 (S, S)
