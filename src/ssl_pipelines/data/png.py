"""PNG files without their metadata: a color profile or a text of any size, or a damaged one, has no part in the pixels."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BIT_DEPTH = 24  # its place in the file
# The chunks that pixels, transparency, animation and orientation are made of.
KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT")


def without_metadata(content: bytes) -> bytes | None:
    """The file with the chunks of KEPT alone; None where it is no PNG, or has no others."""
    if not content.startswith(SIGNATURE):
        return None
    parts, place = [SIGNATURE], len(SIGNATURE)
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")  # length, kind, body, checksum
        if content[place + 4 : place + 8] in KEPT:
            parts.append(content[place:end])
        place = end
    bare = b"".join(parts)
    return bare if len(bare) < len(content) else None


def bit_depth(content: bytes) -> int | None:
    """Bits of each channel, or of a palette's index; None where it is no PNG."""
    return content[BIT_DEPTH] if content.startswith(SIGNATURE) and len(content) > BIT_DEPTH else None
