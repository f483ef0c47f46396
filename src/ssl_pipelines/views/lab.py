"""CIE L*a*b*, where lightness and color are apart."""

from __future__ import annotations

import torch
from torch import Tensor

# IEC 61966-2-1 (sRGB) primaries and the D65 white of the 2 degree observer, to the digits of scikit-image.
XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(images: Tensor) -> Tensor:
    """sRGB (B, 3, H, W) in [0, 1] -> (B, 3, H, W): L in [0, 100], a about [-86, 98], b about [-108, 94]. Float32, or as precise as it came."""
    x = images.to(torch.promote_types(images.dtype, torch.float32))
    linear = torch.where(x > 0.04045, ((x + 0.055) / 1.055).clamp(min=0) ** 2.4, x / 12.92)
    matrix = (torch.tensor(XYZ_OF_RGB, dtype=torch.float64) / torch.tensor(WHITE, dtype=torch.float64).unsqueeze(1)).to(x)
    with torch.autocast(x.device.type, enabled=False):  # half a digit would be a visible color
        ratio = torch.einsum("ij,bjhw->bihw", matrix, linear)
    f = torch.where(ratio > 0.008856, ratio.clamp(min=1e-8) ** (1 / 3), 7.787 * ratio + 16 / 116)
    fx, fy, fz = f.unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=1)
