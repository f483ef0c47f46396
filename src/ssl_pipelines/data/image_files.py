"""Which files count as images: the formats that are decoded, and the endings that their files carry."""

from __future__ import annotations

from pathlib import PurePath

# Pillow's name -> endings. Left out on purpose: formats that start a program (EPS), that draw rather than hold pixels (SVG, WMF),
# and those without a signature, as which any file would pass (TGA).
FORMATS: dict[str, tuple[str, ...]] = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
EXTENSIONS = frozenset(ending for endings in FORMATS.values() for ending in endings)

# How reasons begin that say "this was never meant as an image": they explain a file, and are no failure to decode.
NEVER_AN_IMAGE = ("not an image file", "hidden", "link to a folder", "broken link", "not a regular file")


def is_image_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in EXTENSIONS


def not_an_image(name: str) -> str:
    """The manifest's reason for a file whose name is no image's."""
    return f"not an image file: {PurePath(name).suffix or 'no ending'}"
