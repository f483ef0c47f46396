"""Hue, saturation and value."""

from __future__ import annotations

import torch
from torch import Tensor


def rgb_to_hsv(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> (B, 3, H, W): hue in [0, 1), a share of the circle, 0 where gray; saturation; value."""
    r, g, b = images.unbind(1)
    value = images.amax(1)
    spread = value - images.amin(1)
    safe = torch.where(spread > 0, spread, 1)
    sixths = torch.where(value == r, (g - b) / safe, torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    return torch.stack([(sixths / 6) % 1, spread / torch.where(value > 0, value, 1), value], dim=1)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """The inverse; any hue is taken, whole turns do not matter."""
    hue, saturation, value = hsv.split(1, dim=1)
    k = (hue * 6 + hsv.new_tensor([5.0, 3.0, 1.0]).view(3, 1, 1)) % 6
    return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)
