"""A feature map that follows from one of its blocks: the heat equation without time, split into a linear equation along x and one along y."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LinearExtension(nn.Module):
    """z_x = A z and z_y = B z, A and B (D, D), learned, of all images and places. Chen, Y. et al. 2022, arXiv:2211.13228.

    z(x + dx, y) = (I + dx A) z(x, y), z(x, y + dy) = (I + dy B) z(x, y), in places of the map. `unit_steps`: dx and dy are 1 and taken
    as often as the way is long; otherwise they are the whole way, taken once. A = B = 0 at first, which repeats the block."""

    def __init__(self, dim: int, *, unit_steps: bool):
        super().__init__()
        self.unit_steps = unit_steps
        self.across = nn.Parameter(torch.zeros(dim, dim))  # A
        self.down = nn.Parameter(torch.zeros(dim, dim))  # B

    def carry(self, z: Tensor, matrix: Tensor, signs: Tensor, distance: int) -> Tensor:
        """z (B, D, h, w) -> what it becomes `distance` places further, or before where `signs` (of that shape or broadcast to it) is -1."""
        steps, length = (distance, 1) if self.unit_steps else (1, distance)
        for _ in range(steps):
            z = z + signs * length * F.conv2d(z, matrix[:, :, None, None])
        return z

    def forward(self, block: Tensor, corners: Tensor) -> Tensor:
        """The block's map (B, D, h, h), at top and left `corners` (B, 2) from 0 to h -> the whole map (B, D, 2 h, 2 h).

        Each place of the block gives three others: h places to the right or, where the map ends before, to the left; h down or up;
        both, along x first. So every place outside has one source. In float32 at least, also under autocast: half precision would
        round 1 + a to 1, and with it all of what A and B learn at first."""
        with torch.autocast(block.device.type, enabled=False):
            return self._extended(block if block.dtype == torch.float64 else block.float(), corners)

    def _extended(self, block: Tensor, corners: Tensor) -> Tensor:
        h = block.shape[2]
        place = torch.arange(h, device=block.device)
        down, across = torch.where(corners.unsqueeze(2) + place < h, 1, -1).to(block.dtype).unbind(1)  # (B, h) each
        x_signs, y_signs = across[:, None, None, :], down[:, None, :, None]
        aside = self.carry(block, self.across, x_signs, h)
        below, diagonal = (self.carry(z, self.down, y_signs, h) for z in (block, aside))
        whole = torch.cat([torch.cat([block, aside], 3), torch.cat([below, diagonal], 3)], 2)  # it begins with the block
        rows, columns = ((torch.arange(2 * h, device=block.device) - corners.unsqueeze(2)) % (2 * h)).unbind(1)  # (B, 2 h) each
        image = torch.arange(len(block), device=block.device).view(-1, 1, 1)
        return whole.permute(0, 2, 3, 1)[image, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
