"""An image as a grid of overlapping patches, each encoded independently of the others."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder


class PatchGrid(Encoder):
    """grid x grid square patches that overlap by half, each through `trunk` alone; an image is the mean over them.

    An image of side S has patches of 2 s px every s = S // (grid + 1) px, in its central s (grid + 1) px. The trunk keeps no
    statistics of a batch, so that no pixel reaches another patch's features. van den Oord et al. 2018, arXiv:1807.03748, section 3.2."""

    def __init__(self, trunk: Encoder, grid: int, image_size: int):
        if image_size < 2 * (grid + 1):
            raise InputError(
                f"grid={grid} leaves patches below 4 px of views of {image_size} px; allowed is up to {image_size // 2 - 1}"
            )
        super().__init__(trunk.in_channels, trunk.dim)
        self.trunk, self.grid = trunk, grid
        self.patch_size = image_size // (grid + 1) * 2

    def patches(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, grid, grid, C, P, P)."""
        p, step = self.patch_size, self.patch_size // 2
        side = step * (self.grid + 1)
        top, left = ((edge - side) // 2 for edge in images.shape[2:])
        x = images[:, :, top : top + side, left : left + side]
        return x.unfold(2, p, step).unfold(3, p, step).permute(0, 2, 3, 1, 4, 5)

    def encode_patches(self, patches: Tensor) -> Tensor:
        """(B, grid, grid, C, P, P) -> (B, D, grid, grid)."""
        z = self.trunk(patches.flatten(0, 2))  # (B grid grid, D)
        return z.view(patches.shape[0], self.grid, self.grid, -1).permute(0, 3, 1, 2)

    def map(self, images: Tensor) -> Tensor:
        return self.encode_patches(self.patches(images))

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {"final": self(images)}
