"""From a grid of codes to pixels: residual bottlenecks and nearest-neighbor upsampling, without any norm."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """(B, C, h, w) -> (B, D, h, w): x + gain f(x), f of three 3x3 convolutions to D / 4 channels and a 1x1 one back, ReLU before each."""

    def __init__(self, into: int, out: int, gain: float):
        super().__init__()
        hidden = max(1, out // 4)
        self.shortcut = nn.Identity() if into == out else nn.Conv2d(into, out, 1)
        layers: list[nn.Module] = []
        for channels in (into, hidden, hidden):
            layers += [nn.ReLU(), nn.Conv2d(channels, hidden, 3, padding=1)]
        self.branch = nn.Sequential(*layers, nn.ReLU(), nn.Conv2d(hidden, out, 1))
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.gain * self.branch(x)


class BottleneckDecoder(nn.Module):
    """one-hot or relaxed codes (B, K, h, w) -> (B, out, 2^doublings h, 2^doublings w).

    A 1x1 convolution to `width` channels, groups of `blocks` bottlenecks with a doubling of the grid between them, at each of which the
    channels halve, and a 1x1 convolution. The gain of the n branches is 1 / n^2 at first and for good.
    Ramesh et al. 2021 (DALL-E), arXiv:2102.12092, appendix A.1."""

    def __init__(self, codes: int, width: int, doublings: int, blocks: int, out: int):
        super().__init__()
        groups, gain = doublings + 1, (blocks * (doublings + 1)) ** -2
        widths = [max(16, width >> k) for k in range(groups)]
        self.embed = nn.Conv2d(codes, width, 1)
        self.groups = nn.ModuleList()
        into = width
        for wide in widths:
            self.groups.append(nn.Sequential(*(Bottleneck(into if k == 0 else wide, wide, gain) for k in range(blocks))))
            into = wide
        self.head = nn.Conv2d(into, out, 1)

    def forward(self, codes: Tensor) -> Tensor:
        x = self.embed(codes)
        for k, group in enumerate(self.groups):
            x = group(F.interpolate(x, scale_factor=2, mode="nearest") if k else x)
        return self.head(x.relu())
