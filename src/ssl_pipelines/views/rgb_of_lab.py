"""From L*a*b* back to pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_pipelines.views.lab import WHITE, XYZ_OF_RGB


def lab_to_rgb(lab: Tensor) -> Tensor:
    """(B, 3, H, W) L, a, b -> sRGB (B, 3, H, W) in [0, 1]; the inverse of `rgb_to_lab`, colors that no screen has are clamped."""
    light, a, b = lab.to(torch.promote_types(lab.dtype, torch.float32)).unbind(1)
    fy = (light + 16) / 116
    f = torch.stack([fy + a / 500, fy, fy - b / 200], dim=1)
    ratio = torch.where(f > 0.008856 ** (1 / 3), f**3, (f - 16 / 116) / 7.787)
    matrix = torch.linalg.inv(torch.tensor(XYZ_OF_RGB, dtype=torch.float64) / torch.tensor(WHITE, dtype=torch.float64).unsqueeze(1))
    with torch.autocast(lab.device.type, enabled=False):
        linear = torch.einsum("ij,bjhw->bihw", matrix.to(ratio), ratio).clamp(min=0)
    return torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear).clamp(0, 1)
