"""Which files count as images: the formats that are decoded, the endings that their files carry, and the images that cannot be read."""

from __future__ import annotations

from pathlib import Path, PurePath

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

# Endings of photographs, scans and drawings in formats that are not decoded. Validation counts and names them.
UNREAD_ENDINGS = frozenset(
    (
        ".heic", ".heif", ".hif", ".jxl", ".jxr", ".hdp", ".wdp", ".jpf", ".jpm",  # photographs
        ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw", ".3fr", ".erf",
        ".kdc", ".mrw", ".x3f",  # what cameras call raw
        ".dcm", ".dicom", ".nii", ".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".lif", ".nd2", ".fits", ".fit", ".fts",  # science
        ".psd", ".psb", ".xcf", ".exr", ".hdr", ".pfm", ".tga",  # drawings and renderings
    )
)  # fmt: skip
# How reasons begin that say "an image, in a format that is not decoded".
UNREAD = "image format that is not read"
# How reasons begin that say "this was never meant as an image": they explain a file, and are no failure to decode.
NEVER_AN_IMAGE = ("not an image file", "hidden", "link to a folder", "broken link", "not a regular file")

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how the small text file begins that Git LFS leaves in a file's place
LFS_HINT = "Git LFS pointer in place of the file: `git lfs pull` fetches it"
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes there, format
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (128, b"DICM", "DICOM"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"SIMPLE  =", "FITS"),
)


def is_image_name(name: str) -> bool:
    return PurePath(name).suffix.lower() in EXTENSIONS


def not_an_image(name: str) -> str:
    """The manifest's reason for a file whose name is that of no image that is read."""
    ending = PurePath(name).suffix
    if ending.lower() in UNREAD_ENDINGS:
        return f"{UNREAD}: {ending}"
    return f"not an image file: {ending or 'no ending'}"


def is_lfs_pointer(content: bytes) -> bool:
    return content.startswith(LFS_POINTER)


def pointer_words(file: Path) -> str:
    """Said after the reason why a file of many images cannot be read: a hint where Git LFS has left a pointer in its place."""
    try:
        with file.open("rb") as stream:
            return f"; {LFS_HINT}" if is_lfs_pointer(stream.read(len(LFS_POINTER))) else ""
    except OSError:
        return ""


def unidentified(content: bytes) -> str:
    """The manifest's reason for bytes that no decoder takes, by their first bytes."""
    if is_lfs_pointer(content):
        return LFS_HINT
    found = next((name for at, mark, name in SIGNATURES if content[at : at + len(mark)] == mark), None)
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS:
        found = "HEIC"
    return f"{UNREAD}: {found}" if found else "not in an image format that is read"
