"""A convolutional network without padding: a place of a map depends on its own part of the image alone, and not on the border."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.norm import BatchNorm


class UnpaddedNet(Encoder):
    """Bachman et al. 2019 (AMDIM), arXiv:1906.00910, the authors' layout: at 32 px maps of 30, 14, 7, 5, 3 and 1; of side 7 (`fine`), 5
    (`coarse`) and 1 are used. Batch norm on what leaves, none inside.

    Differs: larger images begin with a wider stride (3 s x 3 s every s px, s = side / 32), others end in a last kernel that covers
    what is left, so that `fine` is about 7 and the last map is one place at any size from 24 px."""

    def __init__(self, in_channels: int, width: int, top: int, depth: int, image_size: int):
        super().__init__(in_channels, top)
        s = max(1, round(image_size / 32))
        sides = [image_size // s - 2]
        sides += [sides[0] // 2 - 1, (sides[0] // 2 - 1) // 2]
        left = sides[-1] - 4  # what two 3x3 leave
        if left < 1:
            raise InputError(f"an unpadded encoder needs views of 24 px or more, not {image_size}: methods.NAME.views.size")
        self.to_fine = nn.Sequential(
            nn.Conv2d(in_channels, width, 3 * s, s),
            nn.ReLU(inplace=True),
            Block(width, width, 1),
            Block(width, 2 * width, 4, 2),
            *(Block(2 * width, 2 * width, 1) for _ in range(depth - 1)),
            Block(2 * width, 4 * width, 2, 2),
            *(Block(4 * width, 4 * width, 1) for _ in range(depth - 1)),
        )
        self.to_coarse = nn.Sequential(Block(4 * width, 4 * width, 3), *(Block(4 * width, 4 * width, 1) for _ in range(depth - 1)))
        self.to_top = nn.Sequential(
            Block(4 * width, 4 * width, 3), *(Block(4 * width, 4 * width, 1) for _ in range(depth - 1)), Block(4 * width, top, left)
        )
        self.norms = nn.ModuleDict({"fine": BatchNorm(4 * width), "coarse": BatchNorm(4 * width), "top": BatchNorm(top)})
        self.local_dim = 4 * width

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """fine (B, local_dim, 7, 7), coarse (B, local_dim, 5, 5), top (B, D, 1, 1) at 32 px."""
        fine = self.to_fine(self.normalize(images))
        coarse = self.to_coarse(fine)
        raw = {"fine": fine, "coarse": coarse, "top": self.to_top(coarse)}
        return {name: self.norms[name](x) for name, x in raw.items()}

    def map(self, images: Tensor) -> Tensor:
        top: Tensor = self.norms["top"](self.to_top(self.to_coarse(self.to_fine(self.normalize(images)))))
        return top

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {name: x.mean((2, 3)) for name, x in self.maps(images).items()}


class Block(nn.Module):
    """k x k convolution, ReLU, 1x1; beside it the average of the same k x k pixels, widened where need be; their sum through a ReLU."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        wide, single = nn.Conv2d(into, out, kernel, stride), nn.Conv2d(out, out, 1)
        for conv in (wide, single):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            single.weight.mul_(0.5)  # the sum of both ways keeps about its size without norms
        self.branch = nn.Sequential(wide, nn.ReLU(inplace=True), single)
        self.shortcut = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, self.kernel, self.stride) if self.kernel > 1 else x
        both: Tensor = self.branch(x) + self.shortcut(pooled)
        return F.relu(both)
