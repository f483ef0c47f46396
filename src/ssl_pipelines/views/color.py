"""Brightness, contrast, saturation, hue and grayscale as one 3x3 matrix and one offset an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_pipelines.views.draw import Draw

CONTRAST = 1  # in Draw.order
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in torchvision's rgb_to_grayscale
YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


def apply_color(images: Tensor, drawn: Draw) -> Tensor:
    """(B, C, H, W) in [0, 1] -> the same, clamped once at the end.

    Three channels: brightness, contrast, saturation and hue in each image's own order, then grayscale. Other numbers of channels:
    brightness and contrast, which commute. Differs from torchvision: nothing is clamped in between (on photographs, at SimCLR's
    strength for small images, 0.3 of 255 levels in the mean), and hue turns the plane of YIQ's I and Q instead of HSV's angle, which
    keeps luma and is linear (6 levels in the mean, where the jitter itself moves pixels by 21)."""
    if images.shape[1] != 3:
        b, c = (value.to(images.dtype).view(-1, 1, 1, 1) for value in (drawn.brightness, drawn.contrast))
        mean = images.mean((1, 2, 3), keepdim=True)
        return (b * (c * images + (1 - c) * mean)).clamp(0, 1)
    matrix, offset = color_matrix(images, drawn)
    flat = torch.baddbmm(offset.to(images.dtype), matrix.to(images.dtype), images.flatten(2))
    return flat.view_as(images).clamp(0, 1)


def to_gray(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 1, H, W): luma of three channels, the mean of any other number."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)


def color_matrix(images: Tensor, drawn: Draw) -> tuple[Tensor, Tensor]:
    """-> (B, 3, 3) and (B, 3, 1): the fused transform of each image, whose mean is all that contrast needs to know of it."""
    device, batch = images.device, len(images)
    eye, luma = torch.eye(3, device=device), torch.tensor(LUMA, device=device)
    gray = luma.expand(3, 3)  # every row: gray from RGB
    b, c, s = (value.view(-1, 1, 1) for value in (drawn.brightness, drawn.contrast, drawn.saturation))
    single = torch.stack([b * eye, c * eye, s * eye + (1 - s) * gray, _hue_matrix(drawn.hue)], 1)  # (B, 4, 3, 3)
    mean = images.mean((2, 3), dtype=torch.float32).unsqueeze(2)  # (B, 3, 1)
    matrix, offset, rows = eye.expand(batch, 3, 3), mean.new_zeros(batch, 3, 1), torch.arange(batch, device=device)
    for kind in drawn.order.unbind(1):
        current = (luma @ (matrix @ mean + offset)).unsqueeze(1)  # (B, 1, 1), mean gray so far
        step = single[rows, kind]
        matrix, offset = step @ matrix, step @ offset + (kind == CONTRAST).view(-1, 1, 1) * (1 - c) * current
    chosen = torch.where(drawn.gray.view(-1, 1, 1), gray, eye)
    return chosen @ matrix, chosen @ offset


def _hue_matrix(hue: Tensor) -> Tensor:
    yiq = torch.tensor(YIQ, device=hue.device)
    angle = hue * (2 * math.pi)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([one, zero, zero, zero, cos, sin, zero, -sin, cos], dim=1).view(-1, 3, 3)
    rotated: Tensor = torch.linalg.inv(yiq) @ turn @ yiq
    return rotated
