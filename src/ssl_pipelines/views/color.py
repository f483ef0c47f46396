"""Brightness, contrast, saturation, hue and grayscale as one 3x3 matrix and one offset an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl_pipelines.views.draw import Draw

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in torchvision's rgb_to_grayscale
YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))


def apply_color(images: Tensor, drawn: Draw) -> Tensor:
    """(B, C, H, W) in [0, 1] -> the same, clamped once at the end.

    Three channels: brightness, contrast, saturation, hue, grayscale in this order. Other numbers of channels: brightness and contrast.
    Differs from torchvision: the order is fixed, nothing is clamped in between, and hue turns the plane of YIQ's I and Q, not HSV's angle."""
    if images.shape[1] != 3:
        b, c = drawn.brightness.view(-1, 1, 1, 1), drawn.contrast.view(-1, 1, 1, 1)
        mean = images.mean((1, 2, 3), keepdim=True)
        return (b * (c * images + (1 - c) * mean)).clamp(0, 1)
    matrix, offset = color_matrix(images, drawn)
    flat = torch.baddbmm(offset, matrix, images.flatten(2))
    return flat.view_as(images).clamp(0, 1)


def color_matrix(images: Tensor, drawn: Draw) -> tuple[Tensor, Tensor]:
    """-> (B, 3, 3) and (B, 3, 1): the fused transform of each image."""
    device = images.device
    eye = torch.eye(3, device=device)
    luma = torch.tensor(LUMA, device=device)
    gray = luma.expand(3, 3)  # every row: gray from RGB
    b, c, s = (value.view(-1, 1, 1) for value in (drawn.brightness, drawn.contrast, drawn.saturation))
    mean = (images.mean((2, 3)) @ luma).view(-1, 1, 1) * b  # mean gray after brightness
    matrix = b * c * eye  # (B, 3, 3)
    offset = ((1 - c) * mean).expand(-1, 3, 1)
    saturate = s * eye + (1 - s) * gray
    turn = _hue_matrix(drawn.hue)
    after = turn @ saturate
    after = torch.where(drawn.gray.view(-1, 1, 1), gray @ after, after)
    return after @ matrix, after @ offset


def _hue_matrix(hue: Tensor) -> Tensor:
    yiq = torch.tensor(YIQ, device=hue.device)
    angle = hue * (2 * math.pi)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    turn = torch.stack([one, zero, zero, zero, cos, sin, zero, -sin, cos], dim=1).view(-1, 3, 3)
    rotated: Tensor = torch.linalg.inv(yiq) @ turn @ yiq
    return rotated
