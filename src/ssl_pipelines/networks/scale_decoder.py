"""A decoder that predicts on another grid than the tokens'."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.networks.decoder import TokenDecoder

SCALES = (4.0, 2.0, 1.0, 0.5)


class ScaleDecoder(nn.Module):
    """Visible tokens -> (B, T s^2, out_dim), row-major on a grid of `scale` s times the tokens' sides.

    Wang et al. 2023, arXiv:2303.05251, section 3.2, details of their code: `decoder` without a last layer, then none, one or two transposed
    convolutions of stride 2 that halve the channels, layer norm and GELU between two, or an average of 2 x 2 places; then a linear layer."""

    def __init__(self, decoder: TokenDecoder, scale: float, out_dim: int):
        super().__init__()
        assert scale in SCALES, scale
        self.decoder, self.scale = decoder, scale
        dim = decoder.norm.normalized_shape[0]
        widths = {4.0: [dim, dim // 2, dim // 4], 2.0: [dim, dim // 2]}.get(scale, [dim])
        self.finer = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(b) for b in widths[1:-1])
        self.head = nn.Linear(widths[-1], out_dim)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, visible: Tensor, restore: Tensor, grid: tuple[int, int]) -> Tensor:
        x = self.decoder(visible, restore, grid).transpose(1, 2).unflatten(2, grid)  # (B, D, h, w)
        if self.scale < 1:
            x = F.avg_pool2d(x, round(1 / self.scale))
        for k, layer in enumerate(self.finer):
            if k:
                x = F.gelu(self.norms[k - 1](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            x = layer(x)
        return self.head(x.flatten(2).transpose(1, 2))
