"""Fixed two-dimensional sine-cosine positions."""

from __future__ import annotations

import torch
from torch import Tensor


def sincos_positions(dim: int, height: int, width: int) -> Tensor:
    """-> (height * width, dim): a quarter each of sin(x w), cos(x w), sin(y w), cos(y w), w = 10000^(-4 k / dim).

    Row-major over the grid. `dim` is a multiple of 4. He et al. 2022, arXiv:2111.06377, after Vaswani et al. 2017, section 3.5."""
    assert dim % 4 == 0, dim
    frequencies = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    y, x = torch.meshgrid(torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64), indexing="ij")
    parts = [x.reshape(-1, 1) * frequencies, y.reshape(-1, 1) * frequencies]
    return torch.cat([function(part) for part in parts for function in (torch.sin, torch.cos)], dim=1).float()
