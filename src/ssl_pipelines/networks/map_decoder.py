"""A small decoder from a feature map to the pixels under it."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_pipelines.networks.norm import layer_norm


class MapDecoder(nn.Module):
    """(B, D, h, w) -> (B, C, h s, w s): to `dim` channels, `depth` residual 3x3 convolutions, then each place paints its s x s pixels."""

    def __init__(self, in_dim: int, dim: int, depth: int, stride: int, channels: int):
        super().__init__()
        self.embed = nn.Conv2d(in_dim, dim, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(layer_norm(dim), nn.Conv2d(dim, dim, 3, padding=1), nn.GELU(), nn.Conv2d(dim, dim, 1))
            for _ in range(depth)
        )
        self.head = nn.Sequential(layer_norm(dim), nn.Conv2d(dim, stride * stride * channels, 1), nn.PixelShuffle(stride))

    def forward(self, features: Tensor) -> Tensor:
        x = self.embed(features)
        for block in self.blocks:
            x = x + block(x)
        pixels: Tensor = self.head(x)
        return pixels
