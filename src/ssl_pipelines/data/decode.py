"""The one decoder, for ingestion and for a served model: encoded bytes or an array in, a square uint8 image out.

The image is cut and resized as `fitting` says: bicubic, antialiased. Large JPEGs are reduced to no less than twice the size while they
are decoded (draft mode). Alpha is composited on white, EXIF rotation applied; of an animation or a stack the first frame or page is read.
Gray of 16 bits is scaled by 255/white. Color stored as one channel is luma (ITU-R 601), gray stored as three is repeated. Only pixel
formats are read (image_files.FORMATS): nothing in a file is executed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ssl_pipelines.data.config import Fit
from ssl_pipelines.data.fitting import cut, filled
from ssl_pipelines.data.headers import ALPHA_MODES, count_pages, has_alpha_band, is_deep, is_inverted, is_wide, opened, upright
from ssl_pipelines.data.image_files import unidentified
from ssl_pipelines.data.png import without_metadata

# Pillow's warnings of odd metadata are silenced, since what matters becomes a reason; for good, since threads share the filters.
warnings.filterwarnings("ignore", module=r"PIL\.")
BYTES_PER_PIXEL = 8  # of the widest uncompressed format, 16-bit RGBA
SLACK = 1 << 20  # bytes of header and metadata
WHITE = 65535  # the largest value of 16 bits

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How a source image becomes a stored one. What was decided for the whole data set is recorded with the store and its models."""

    size: int  # side of the stored square, px
    channels: int
    max_pixels: int
    fields: tuple[str, ...] = ()
    fit: Fit = "square"
    white: int = WHITE  # the value of a 16-bit gray pixel that becomes 255; more is 255 too
    alpha: bool = True  # whether a band called alpha is transparency; else it is left out

    @property
    def image_bytes(self) -> int:
        return self.size * self.size * self.channels


class ImageInfo(TypedDict):
    width: int  # of the source, as its header says: before EXIF rotation
    height: int
    mode: str  # Pillow's, or "array"
    channels: int
    pages: NotRequired[int]  # of a stack or an animation
    levels: NotRequired[int]  # different values in the fullest 8-bit channel made from a deeper source
    cut_share: NotRequired[float]  # of the pixels kept: 16-bit gray above white; absent where there is none
    brightest: NotRequired[int]  # the largest of these values


class Unusable(Exception):
    """This image cannot be used; `reason` goes into the manifest, `info` is what its header said, if it could be read."""

    def __init__(self, reason: str, info: ImageInfo | None = None):
        super().__init__(reason)
        self.reason, self.info = reason, info


def decode(content: bytes | Pixels, spec: DecodeSpec) -> tuple[Pixels, ImageInfo]:
    """(size, size, channels) uint8 and what the source was. content: an encoded image, or uint8 (H, W) or (H, W, C).

    Raises Unusable; an image of more than max_pixels is refused from its header."""
    if isinstance(content, np.ndarray):
        return _from_array(content, spec)
    if too_large := too_many_bytes(len(content), spec.max_pixels):
        raise Unusable(too_large)
    try:
        return _from_bytes(content, spec)
    except Unusable:
        bare = without_metadata(content)  # metadata behind the pixels is read while they are decoded, and a damaged one would fail
        if bare is None:
            raise
    return _from_bytes(bare, spec)


def limit_words(max_pixels: int) -> str:
    """The key and value that refuse larger images."""
    return f"dataset.max_megapixels={max_pixels / 1e6:g}"


def too_many_bytes(count: int, max_pixels: int) -> str | None:
    """The reason to refuse a file of so many bytes unread, or None."""
    if count == 0:
        return "empty file"
    limit = max_pixels * BYTES_PER_PIXEL + SLACK
    return f"file of {count:,} bytes: an image of {limit_words(max_pixels)} has at most {limit:,}" if count > limit else None


def _from_bytes(content: bytes, spec: DecodeSpec) -> tuple[Pixels, ImageInfo]:
    info: ImageInfo | None = None
    size, channels = spec.size, spec.channels
    try:
        with opened(content) as image:
            info = ImageInfo(width=image.width, height=image.height, mode=image.mode, channels=len(image.getbands()))
            refuse_large(info, spec.max_pixels)
            inverted, deep, alpha = is_inverted(image), is_deep(image), spec.alpha and has_alpha_band(image)
            if (pages := count_pages(image)) > 1:
                info["pages"] = pages
            image.draft(None, (2 * size, 2 * size))
            image.load()
            kept = cut(upright(image), spec.fit)
            if is_wide(kept):
                _note_cut(info, np.asarray(kept), spec.white)
            flat = _flat(kept, spec, inverted=inverted, alpha=alpha)
            if deep:
                info["levels"] = _levels(flat)
            return np.array(filled(flat, size, spec.fit), dtype=np.uint8).reshape(size, size, channels), info
    except (Unusable, MemoryError) as error:
        if isinstance(error, Unusable):
            error.info = info
        raise
    except UnidentifiedImageError:
        raise Unusable(unidentified(content)) from None
    except Exception as error:  # a codec may raise anything on damaged bytes, which becomes the file's reason
        raise Unusable(" ".join(f"cannot be decoded: {error}".split())[:200], info) from None


def refuse_large(info: ImageInfo, max_pixels: int) -> None:
    """Raises Unusable where the image has more than max_pixels."""
    if info["width"] * info["height"] > max_pixels:
        raise Unusable(f"{info['width']:,} x {info['height']:,} pixels are more than {limit_words(max_pixels)}", info)


def _flat(image: Image.Image, spec: DecodeSpec, *, inverted: bool, alpha: bool) -> Image.Image:
    """Mode L or RGB, 8 bits, no alpha."""
    if spec.channels not in (1, 3):
        raise Unusable(f"image files give 1 or 3 channels, not {spec.channels}")
    if image.mode == "F":
        raise Unusable("floating point pixels, whose range is unknown")
    if is_wide(image):
        image = Image.fromarray(_eight_bits(np.asarray(image), spec.white, inverted))
    elif alpha or (image.has_transparency_data and image.mode not in ALPHA_MODES):
        colors = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors).convert("RGB")
    mode = "L" if spec.channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(pixels: NDArray[np.integer], white: int, inverted: bool) -> Pixels:
    wide = pixels.astype(np.int64)
    if wide.min() < 0 or wide.max() > WHITE:
        raise Unusable("32-bit pixels outside 0 to 65535, whose range is unknown")
    wide = np.minimum(wide, white)
    return (((white - wide if inverted else wide) * 255 + white // 2) // white).astype(np.uint8)


def _note_cut(info: ImageInfo, pixels: NDArray[np.integer], white: int) -> None:
    """How many of the values lie above white, and the largest; nothing where none does."""
    brightest = int(pixels.max())
    if brightest > white:
        info["cut_share"], info["brightest"] = float((pixels > white).mean()), brightest


def _levels(image: Image.Image) -> int:
    """Different values in the fullest channel."""
    return int((np.asarray(image.histogram()).reshape(-1, 256) > 0).sum(1).max())


def _from_array(pixels: Pixels, spec: DecodeSpec) -> tuple[Pixels, ImageInfo]:
    size, channels = spec.size, spec.channels
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise Unusable(f"array of {pixels.dtype} {pixels.shape}: uint8 (H, W) or (H, W, C) is read")
    image = pixels[:, :, None] if pixels.ndim == 2 else pixels  # (H, W, C)
    height, width, found = image.shape
    info = ImageInfo(width=width, height=height, mode="array", channels=found)
    refuse_large(info, spec.max_pixels)
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
    squares: list[NDArray[Any]] = [np.asarray(filled(cut(band, spec.fit), size, spec.fit)) for band in bands]
    return (squares[0] if len(squares) == 1 else np.stack(squares, axis=2)).reshape(size, size, channels).copy(), info
