"""Images at half their size, by a filter drawn for each image."""

from __future__ import annotations

import torch
from torch import Tensor

STYLES = 4  # mean of the area, linear, cubic, Lanczos


def halving_matrices(size: int) -> Tensor:
    """(4, size / 2, size), float64: rows of sum 1 that weigh the pixels of a line by each filter, widened to the new pixels and cut at
    the image's edge as Pillow does it."""
    pixel, center = torch.arange(size, dtype=torch.float64) + 0.5, torch.arange(1, size, 2, dtype=torch.float64)
    x = (pixel - center.unsqueeze(1)) / 2  # distances in new pixels
    far = x.abs()
    area = (far < 0.5).double()
    linear = (1 - far).clamp(min=0)
    near, tail = (1.5 * far - 2.5) * far**2 + 1, ((-0.5 * far + 2.5) * far - 4) * far + 2  # Keys, a = -1/2
    cubic = torch.where(far < 1, near, torch.where(far < 2, tail, 0.0))
    lanczos = torch.where(far < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)
    weights = torch.stack([area, linear, cubic, lanczos])
    return weights / weights.sum(2, keepdim=True)


def halved(images: Tensor, style: Tensor) -> Tensor:
    """(B, C, S, S) in [0, 1], (B,) int64 in 0 ... 3 -> (B, C, S / 2, S / 2) in [0, 1]."""
    matrix = halving_matrices(images.shape[-1]).to(images)[style].unsqueeze(1)  # (B, 1, S / 2, S)
    with torch.autocast(images.device.type, enabled=False):
        return (matrix @ images @ matrix.transpose(2, 3)).clamp(0, 1)
