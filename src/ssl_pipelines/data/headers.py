"""What can be known of an encoded image before its pixels are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin

from ssl_pipelines.data.image_files import FORMATS
from ssl_pipelines.data.png import bit_depth, without_metadata

Image.init()
Image.MAX_IMAGE_PIXELS = None  # the limit is dataset.max_megapixels, asked of every header before its pixels are decoded
READABLE = [name for name in FORMATS if name in Image.OPEN]  # some builds of Pillow lack AVIF or JPEG 2000
BITS_PER_SAMPLE, PHOTOMETRIC, EXTRA_SAMPLES = 258, 262, 338  # TIFF 6.0's tags
WHITE_IS_ZERO = 0
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")  # Pillow's, with a band for transparency


@dataclass(frozen=True, slots=True)
class Header:
    """Of one source image.   alpha: it has a band that its format calls transparency."""

    width: int
    height: int
    channels: int  # 1 gray, 3 color; an array's own
    deep: bool = False  # more than 8 bits a channel
    alpha: bool = False


def header(content: bytes | NDArray[Any] | Path) -> Header | None:
    """None where it cannot be read: `decode` will say what is wrong. Decodes nothing."""
    if isinstance(content, np.ndarray):
        return Header(content.shape[1], content.shape[0], content.shape[2] if content.ndim == 3 else 1)
    try:
        with opened(content) as image:
            return Header(*image.size, 1 if is_gray(image) else 3, is_deep(image), has_alpha_band(image))
    except MemoryError:
        raise
    except Exception:
        return None


def opened(content: bytes | Path) -> Image.Image:
    """The encoded image with its header read. A PNG that is refused for its metadata is opened without it; else raises what Pillow raises."""
    try:
        return Image.open(content if isinstance(content, Path) else BytesIO(content), formats=READABLE)
    except MemoryError:
        raise
    except Exception:
        bare = without_metadata(content.read_bytes() if isinstance(content, Path) else content)
        if bare is None:
            raise
        return Image.open(BytesIO(bare), formats=READABLE)


def is_gray(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB") or [0, 0, 1]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in {"1", "L", "LA", "La"} or is_wide(image)


def is_wide(image: Image.Image) -> bool:
    """Whether its mode holds whole numbers of 16 or 32 bits: one gray channel."""
    return image.mode == "I" or image.mode.startswith("I;16")


def is_deep(image: Image.Image) -> bool:
    """Whether its file has more than 8 bits a channel. Pillow gives color of 16 bits in 8, the upper ones."""
    if is_wide(image):
        return True
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(BITS_PER_SAMPLE, (8,))) > 8
    if not isinstance(image, ImageFile.ImageFile) or image.format != "PNG" or image.fp is None:
        return False
    place = image.fp.tell()
    image.fp.seek(0)
    start = image.fp.read(32)
    image.fp.seek(place)
    return bit_depth(start) == 16


def has_alpha_band(image: Image.Image) -> bool:
    """Whether it has a band of its own that is said to be transparency: a TIFF has to say what its fourth band is."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and EXTRA_SAMPLES not in image.tag_v2:
        return False
    return image.mode in ALPHA_MODES


def is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white in pixels of 16 or 32 bits. Pillow inverts those of 8 bits and fewer by itself."""
    return isinstance(image, TiffImagePlugin.TiffImageFile) and is_wide(image) and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO


def count_pages(image: Image.Image) -> int:
    """Pages of a TIFF; 2 for an animation, whose frames are not counted; else 1."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        try:
            return int(image.n_frames)
        except Exception:  # a damaged later page: the first one is read
            image.seek(0)
            return 1
    return 2 if image.format != "MPO" and getattr(image, "is_animated", False) else 1  # a camera's MPO holds its own preview


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says."""
    try:
        straight = image.getexif().get(ExifTags.Base.Orientation, 1) == 1  # asked first: exif_transpose copies these too
        return image if straight else ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF: the pixels are fine, and nobody can say which way is up
        return image
