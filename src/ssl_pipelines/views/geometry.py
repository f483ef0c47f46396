"""Crop, resize and flip as one sampling where pixels are spread, as two matrix products where they are shrunk; blur as two products."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(images: Tensor, box: Tensor, flip: Tensor, size: int, *, beyond: bool = False) -> Tensor:
    """(B, C, H, W), boxes (B, 4) and flips (B,) of crops that are not larger than `size` -> (B, C, size, size), bilinear.

    Nothing is shrunk, so no antialiasing is due: `resize_matrix` gives the same to rounding, slower. Edges: as there."""
    top, left, height, width = box.unbind(1)
    y = _places(top, height, size, images.shape[2])  # (B, size), -1 and 1 are the image's edges
    x = _places(left, width, size, images.shape[3])
    x = torch.where(flip.unsqueeze(1), x.flip(1), x)
    grid = torch.stack([x.unsqueeze(1).expand(-1, size, -1), y.unsqueeze(2).expand(-1, -1, size)], 3)
    return _sampled(images, grid, "zeros" if beyond else "border")


def _sampled(images: Tensor, grid: Tensor, padding: str) -> Tensor:
    """In float32: places in bfloat16 would be off by pixels."""
    return F.grid_sample(images.float(), grid, "bilinear", padding, align_corners=False).to(images.dtype)


def _places(start: Tensor, length: Tensor, size: int, source: int) -> Tensor:
    step = torch.arange(size, device=start.device, dtype=torch.float32) + 0.5
    place = step * (length / size).unsqueeze(1)  # (B, size), px of the crop
    # Sampling stays inside the crop: no pixel beyond it is mixed in.
    place = torch.minimum(place.clamp(min=0.5), (length - 0.5).unsqueeze(1))
    return (place + start.unsqueeze(1)) * (2 / source) - 1


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """(B, C, S, S) about their centers, counter-clockwise by (B,) degrees; bilinear, zeros come in from outside."""
    angle = degrees * (math.pi / 180)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)  # from places in the result to places in the image
    grid = F.affine_grid(turn, list(images.shape), align_corners=False)
    return _sampled(images, grid, "zeros")


def resize_matrix(
    start: Tensor, length: Tensor, source: int, size: int, flip: Tensor | None = None, *, beyond: bool = False, cubic: bool = False
) -> Tensor:
    """(B,) first pixel and (B,) length of a crop along one axis -> (B, size, source) antialiasing weights.

    Row i weighs source pixels by a triangle around the center of output pixel i, max(1, length / size) wide to each side, inside the
    crop alone, as torchvision's antialiased `resized_crop` does. `beyond`: the crop may reach outside the image, where all is zero
    (padded crops; not longer than the image). `cubic`: by Keys' cubic instead, twice as wide (bicubic; some weights are negative)."""
    scale = (length / size).unsqueeze(1)  # (B, 1) source px per output px
    support = scale.clamp(min=1.0).unsqueeze(2)  # (B, 1, 1)
    step = torch.arange(size, device=start.device, dtype=torch.float32)
    center = (step + 0.5) * scale  # (B, size), px of the crop
    pixel = torch.arange(source, device=start.device, dtype=torch.float32) - start.unsqueeze(1) + 0.5  # (B, source), px of the crop
    inside = ((pixel > 0) & (pixel < length.unsqueeze(1))).unsqueeze(1)
    kernel = _keys if cubic else _triangle
    weights = kernel((pixel.unsqueeze(1) - center.unsqueeze(2)).abs() / support) * inside  # (B, size, source)
    if beyond:  # pixels outside the image have weights too, in the sum that the others are divided by
        lattice = torch.arange(source, device=start.device, dtype=torch.float32) + 0.5  # px of the crop
        all_weights = kernel((lattice - center.unsqueeze(2)).abs() / support) * (lattice < length.view(-1, 1, 1))
        total = all_weights.sum(2, keepdim=True)
    else:
        total = weights.sum(2, keepdim=True)
    weights = weights / total.clamp(min=1e-6)
    if flip is not None:
        weights = torch.where(flip.view(-1, 1, 1), weights.flip(1), weights)
    return weights


def _triangle(distance: Tensor) -> Tensor:
    return (1 - distance).clamp(min=0)


def _keys(distance: Tensor) -> Tensor:
    """Keys 1981, "Cubic convolution interpolation", with a = -1/2, as Pillow's and torchvision's antialiased bicubic have it."""
    near = (1.5 * distance - 2.5) * distance.square() + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """(B,) sigma in px -> (B, size, size) Gaussian weights with mirrored edges; the identity where sigma is 0.

    The kernel is cut at 5 % of the size to each side, at least 1 px: SimCLR's tenth of the size."""
    reach = max(1, round(0.05 * size))
    offset = torch.arange(-reach, reach + 1, device=sigma.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-3).unsqueeze(1)).square())  # (B, K)
    kernel = kernel / kernel.sum(1, keepdim=True)
    row = torch.arange(size, device=sigma.device)
    target = row.unsqueeze(1) + offset.long()  # (size, K)
    target = target.abs()
    target = torch.where(target >= size, 2 * (size - 1) - target, target)
    matrix = torch.zeros(len(sigma), size, size, device=sigma.device)
    index = target.unsqueeze(0).expand(len(sigma), -1, -1)
    return matrix.scatter_add_(2, index, kernel.unsqueeze(1).expand(-1, size, -1))
