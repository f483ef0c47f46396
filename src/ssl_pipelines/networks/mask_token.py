"""The learnt vector that stands where a patch is hidden."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.relative import RelativeViT
from ssl_pipelines.networks.vit import ViT


class MaskToken(nn.Module):
    """images (B, C, H, W), mask (B, T) bool -> patch tokens (B, T, D): of a hidden patch its position is left, where the encoder has any.

    Bao et al. 2022 (BEiT), arXiv:2106.08254, section 2.3."""

    def __init__(self, dim: int):
        super().__init__()
        self.vector = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.vector, std=0.02, a=-0.02, b=0.02)

    def forward(self, encoder: ViT, images: Tensor, mask: Tensor) -> Tensor:
        tokens = encoder.embed(images)
        hole: Tensor = self.vector
        if not isinstance(encoder, RelativeViT):
            height, width = (side // encoder.patch_size for side in images.shape[2:])
            hole = hole + sincos_positions(encoder.dim, height, width).to(hole)
        return torch.where(mask.unsqueeze(2), hole.to(tokens), tokens)
