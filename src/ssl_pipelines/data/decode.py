"""The one decoder, for ingestion and for a served model: encoded bytes or an array in, a square uint8 image out.

The centered square is cut and resized to `size`: bicubic, antialiased, large reductions first by whole factors (Pillow's
reducing_gap=3). Large JPEGs are reduced to no less than twice `size` while they are decoded (draft mode). Alpha is composited on
white, EXIF rotation applied, an animation gives its first frame. 16-bit gray is scaled by 255/65535. Color stored as one channel
is luma (ITU-R 601), gray stored as three is repeated. Only pixel formats are read (image_files.FORMATS): nothing in a file is
executed."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ssl_pipelines.data.image_files import FORMATS

# Pillow warns of odd metadata; what matters becomes a reason. For good: threads that decode cannot take turns with a filter.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.init()
READABLE = [name for name in FORMATS if name in Image.OPEN]  # some builds of Pillow lack AVIF or JPEG 2000
BYTES_PER_PIXEL = 8  # of the widest uncompressed format, 16-bit RGBA
SLACK = 1 << 20  # bytes of header and metadata

Pixels = NDArray[np.uint8]


class ImageInfo(TypedDict):
    width: int  # of the source, as its header says: before EXIF rotation
    height: int
    mode: str  # Pillow's, or "array"
    channels: int


class Unusable(Exception):
    """This image cannot be used; `reason` goes into the manifest, `info` is what its header said, if it could be read."""

    def __init__(self, reason: str, info: ImageInfo | None = None):
        super().__init__(reason)
        self.reason, self.info = reason, info


def decode(content: bytes | Pixels, size: int, channels: int, max_pixels: int) -> tuple[Pixels, ImageInfo]:
    """(size, size, channels) uint8 and what the source was. content: an encoded image, or uint8 (H, W) or (H, W, C).

    Raises Unusable; an image of more than max_pixels is refused from its header."""
    if isinstance(content, np.ndarray):
        return _from_array(content, size, channels, max_pixels)
    if too_large := too_many_bytes(len(content), max_pixels):
        raise Unusable(too_large)
    return _from_bytes(content, size, channels, max_pixels)


def too_many_bytes(count: int, max_pixels: int) -> str | None:
    """The reason to refuse a file of so many bytes unread, or None."""
    if count == 0:
        return "empty file"
    limit = max_pixels * BYTES_PER_PIXEL + SLACK
    return f"file of {count:,} bytes: an image of max_pixels={max_pixels:,} has at most {limit:,}" if count > limit else None


def header_channels(content: bytes | Pixels | Path) -> int | None:
    """1 for gray, 3 for color, an array's own C; None where the header cannot be read. Decodes nothing."""
    if isinstance(content, np.ndarray):
        return content.shape[2] if content.ndim == 3 else 1
    try:
        with Image.open(content if isinstance(content, Path) else BytesIO(content), formats=READABLE) as image:
            return 1 if _is_gray(image) else 3
    except MemoryError:
        raise
    except Exception:  # decode will say what is wrong with it
        return None


def _is_gray(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB") or [0, 0, 1]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in {"1", "L", "LA", "La", "I"} or image.mode.startswith("I;16")


def _from_bytes(content: bytes, size: int, channels: int, max_pixels: int) -> tuple[Pixels, ImageInfo]:
    info: ImageInfo | None = None
    try:
        with Image.open(BytesIO(content), formats=READABLE) as image:
            info = ImageInfo(width=image.width, height=image.height, mode=image.mode, channels=len(image.getbands()))
            _refuse_large(info, max_pixels)
            image.draft(None, (2 * size, 2 * size))
            image.load()
            square = _center_square(_upright(image))
            flat = _flat(square, channels)
            return np.array(_resized(flat, size), dtype=np.uint8).reshape(size, size, channels), info
    except (Unusable, MemoryError) as error:
        if isinstance(error, Unusable):
            error.info = info
        raise
    except UnidentifiedImageError:
        raise Unusable("not in an image format that is read") from None
    except Image.DecompressionBombError:
        raise Unusable(f"header promises more than max_pixels={max_pixels:,} pixels") from None
    except Exception as error:  # whatever a codec raises on foreign bytes is the file's fault
        raise Unusable(" ".join(f"cannot be decoded: {error}".split())[:200], info) from None


def _refuse_large(info: ImageInfo, max_pixels: int) -> None:
    if info["width"] * info["height"] > max_pixels:
        raise Unusable(f"{info['width']:,} x {info['height']:,} is more than max_pixels={max_pixels:,} pixels", info)


def _upright(image: Image.Image) -> Image.Image:
    try:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1  # asked first: exif_transpose copies these too
        return image if upright else ImageOps.exif_transpose(image)
    except Exception:  # broken EXIF: the pixels are fine, and nobody can say which way is up
        return image


def _center_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    if image.size == (side, side):
        return image
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _flat(image: Image.Image, channels: int) -> Image.Image:
    """Mode L or RGB, 8 bits, no alpha."""
    if channels not in (1, 3):
        raise Unusable(f"image files give 1 or 3 channels, not {channels}")
    if image.mode == "F":
        raise Unusable("floating point pixels, whose range is unknown")
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.has_transparency_data:
        colors = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(pixels: NDArray[np.integer]) -> Pixels:
    wide = pixels.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise Unusable("32-bit pixels outside 0 to 65535, whose range is unknown")
    return ((wide * 255 + 32767) // 65535).astype(np.uint8)


def _resized(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _from_array(pixels: Pixels, size: int, channels: int, max_pixels: int) -> tuple[Pixels, ImageInfo]:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise Unusable(f"array of {pixels.dtype} {pixels.shape}: uint8 (H, W) or (H, W, C) is read")
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels  # (H, W, C)
    height, width, found = image.shape
    info = ImageInfo(width=width, height=height, mode="array", channels=found)
    _refuse_large(info, max_pixels)
    if channels != found and (found, channels) not in {(1, 3), (3, 1)}:
        raise Unusable(f"array of {found} channels, {channels} wanted", info)
    if image.shape == (size, size, channels):
        return image.copy(), info
    if channels != found:
        bands = [Image.fromarray(image[:, :, 0] if found == 1 else image).convert("L" if channels == 1 else "RGB")]
    elif channels == 3:
        bands = [Image.fromarray(np.ascontiguousarray(image))]
    else:
        bands = [Image.fromarray(np.ascontiguousarray(image[:, :, c])) for c in range(channels)]
    squares = [np.asarray(_resized(_center_square(band), size)) for band in bands]
    return (squares[0] if len(squares) == 1 else np.stack(squares, axis=2)).reshape(size, size, channels).copy(), info
