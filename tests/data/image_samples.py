"""Images to test with, made on the spot."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BOMB_SIDE = 30_000


def noise(seed: int, height: int = 12, width: int = 12, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def write_image(path: Path, seed: int, **shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(noise(seed, **shape)))


def png_bomb(side: int = BOMB_SIDE) -> bytes:
    """side x side (a multiple of 1,000) black pixels of one bit in about 100 kB, complete and valid."""
    packer = zlib.compressobj(1)
    line = bytes(1 + side // 8)
    body = b"".join(packer.compress(line * 1000) for _ in range(side // 1000)) + packer.flush()

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def tiff(pixels: np.ndarray, photometric: int, extra: int | None = None) -> bytes:
    """An uncompressed TIFF of (H, W) or (H, W, C), uint8 or uint16, whose tags are all chosen here.   extra: of ExtraSamples, or no such tag."""
    height, width, count = (*pixels.shape, 1)[:3]
    bits, data = pixels.dtype.itemsize * 8, pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    tags = {
        256: (width,),
        257: (height,),
        258: (bits,) * count,
        259: (1,),
        262: (photometric,),
        273: (0,),
        277: (count,),
        278: (height,),
    }
    tags |= {279: (len(data),)} | ({} if extra is None else {338: (extra,)})
    start = 8 + 2 + 12 * len(tags) + 4  # where values that do not fit into an entry begin, then the pixels
    values, entries = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = b"".join(number.to_bytes(2, "little") for number in numbers)
        if tag in (273, 279):  # 32 bits
            entries += struct.pack("<HHII", tag, 4, 1, start + 2 * count if tag == 273 else numbers[0])
        elif len(packed) <= 4:
            entries += struct.pack("<HHI", tag, 3, len(numbers)) + packed.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, 3, len(numbers), start)
            values = packed
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + values.ljust(2 * count, b"\0") + data


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
