"""Images to rows of patches and back."""

from __future__ import annotations

from torch import Tensor


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """(B, C, H, W) -> (B, T, P P C), patches row-major, each in the order (row, column, channel). H and W are multiples of P."""
    b, c, h, w = images.shape
    x = images.reshape(b, c, h // patch_size, patch_size, w // patch_size, patch_size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch_size * patch_size * c)


def unpatchify(patches: Tensor, patch_size: int, height: int, width: int) -> Tensor:
    """The inverse of `patchify` for an image of height x width pixels."""
    b, d = len(patches), patches.shape[2]
    rows, columns, channels = height // patch_size, width // patch_size, d // patch_size**2
    x = patches.reshape(b, rows, columns, patch_size, patch_size, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(b, channels, height, width)
