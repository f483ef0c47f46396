"""The view without random transforms, which is evaluated, exported and monitored."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.views.engine import separable
from ssl_pipelines.views.geometry import resize_matrix


def plain_view(images: Tensor, size: int) -> Tensor:
    """uint8 (B, H, W, C) -> float32 (B, C, size, size) in [0, 1]; antialiased resize where the size differs."""
    x = images.permute(0, 3, 1, 2).float() / 255
    height, width = x.shape[2:]
    if (height, width) == (size, size):
        return x.contiguous()
    zero = torch.zeros(1, device=x.device)
    down = resize_matrix(zero, torch.full_like(zero, height), height, size)
    across = resize_matrix(zero, torch.full_like(zero, width), width, size)
    return separable(x, down, across)
