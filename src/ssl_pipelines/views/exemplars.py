"""Seed patches where an image has edges, and the transforms that make a class of one patch. Dosovitskiy et al. 2014, arXiv:1406.6909."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.artifacts import Config
from ssl_pipelines.views.hsv import hsv_to_rgb, rgb_to_hsv


class TransformRanges(Config):
    """How far a transform may go. Ranges of factors and powers are drawn from evenly in their logarithm."""

    shift: float = Field(default=0.2, ge=0, le=1)
    """Largest shift along each axis, as a share of the patch's side."""
    scale: tuple[float, float] = (0.7, 1.4)
    """Smallest and largest factor of enlargement, drawn evenly in its logarithm."""
    rotation: float = Field(default=20.0, ge=0, le=180)
    """Largest rotation to either side in degrees. Lower it where direction has a meaning, as for digits."""
    component: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest factor on each principal component of the pixels, drawn evenly in its logarithm."""
    power: tuple[float, float] = (0.25, 4.0)
    """Smallest and largest power of saturation and value, drawn evenly in its logarithm."""
    factor: tuple[float, float] = (0.7, 1.4)
    """Smallest and largest factor on saturation and value, after the power, drawn evenly in its logarithm."""
    offset: float = Field(default=0.1, ge=0, le=1)
    """Largest number that is added to saturation and value, after the factor, or taken from them."""
    hue: float = Field(default=0.1, ge=0, le=0.5)
    """Largest shift of the hue to either side, as a share of the circle. Lower it where color tells classes apart."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("scale", "component", "power", "factor"):
            low, high = getattr(self, name)
            if not 0.01 <= low <= high <= 100:
                raise ValueError(f"{name}: two numbers low <= high from 0.01 to 100 are allowed")
        return self


@dataclass(frozen=True, slots=True)
class Transforms:
    """One row a patch."""

    shift: Tensor  # (B, 2) down and to the right, shares of the patch's side
    scale: Tensor  # (B,) above 1: what is seen becomes larger
    angle: Tensor  # (B,) degrees
    component: Tensor  # (B, C) factors
    power: Tensor  # (B, 2) of saturation and value, as the next two
    factor: Tensor  # (B, 2)
    offset: Tensor  # (B, 2)
    hue: Tensor  # (B,) to be added

    @classmethod
    def size(cls, channels: int) -> int:
        """How many numbers a transform is made from."""
        return channels + 11

    @classmethod
    def of(cls, uniform: Tensor, ranges: TransformRanges) -> Self:
        """U(0, 1) numbers (B, C + 11) -> the transforms that they stand for."""

        def even(part: Tensor, reach: float) -> Tensor:
            return (2 * part - 1) * reach

        def factors(part: Tensor, bounds: tuple[float, float]) -> Tensor:
            low, high = (math.log(bound) for bound in bounds)
            return torch.exp(low + (high - low) * part)

        shift, scale, angle, power, factor, offset, hue, component = uniform.split(
            [2, 1, 1, 2, 2, 2, 1, uniform.shape[1] - 11], dim=1
        )
        return cls(
            shift=even(shift, ranges.shift),
            scale=factors(scale, ranges.scale).squeeze(1),
            angle=even(angle, ranges.rotation).squeeze(1),
            component=factors(component, ranges.component),
            power=factors(power, ranges.power),
            factor=factors(factor, ranges.factor),
            offset=even(offset, ranges.offset),
            hue=even(hue, ranges.hue).squeeze(1),
        )


def gradient_energy(images: Tensor, side: int, stride: int) -> Tensor:
    """(B, C, S, S) -> (B, P): the mean squared length of the gradient over each square of `side` px, every `stride` px, row by row.

    Central differences, one-sided at the edge; the sum over channels."""
    down, right = torch.gradient(images, dim=(2, 3))
    square = (down.square() + right.square()).sum(1, keepdim=True)  # (B, 1, S, S)
    return F.avg_pool2d(square, side, stride).flatten(1)


def draw_seeds(energy: Tensor, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """energy (N, P) -> rows (count,), all different, and a place (count,) in each; both drawn in proportion to the energy there.

    Flat images come last. Drawing without replacement is keeping the largest of log weight + Gumbel noise (Efraimidis & Spirakis 2006)."""
    energy = energy.double().cpu()

    def keys(weights: Tensor) -> Tensor:
        noise = torch.rand(weights.shape, generator=random, dtype=torch.float64)
        return weights.log() - (-noise.log()).log()

    rows = keys(energy.sum(1)).topk(count).indices
    return rows, keys(energy[rows]).argmax(1)


def cut(images: Tensor, corners: Tensor, side: int, drawn: Transforms) -> Tensor:
    """images (B, C, S, S), corners (B, 2) top and left of patches of `side` px -> (B, C, side, side), moved, scaled and turned.

    What lies around the patch comes in; only beyond the image's edge is it mirrored. Bilinear."""
    step = (torch.arange(side, device=images.device, dtype=torch.float32) + 0.5) / side - 0.5
    y, x = step.view(1, -1, 1), step.view(1, 1, -1)  # places in the patch, in sides of it from its center
    angle = (drawn.angle * (math.pi / 180)).view(-1, 1, 1)
    cos, sin, scale = angle.cos(), angle.sin(), drawn.scale.view(-1, 1, 1)
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=3) / scale.unsqueeze(3)  # (B, side, side, 2): x, y
    place = (turned + 0.5 + drawn.shift.flip(1).view(-1, 1, 1, 2)) * side + corners.flip(1).view(-1, 1, 1, 2)  # px of the image
    grid = place * (2 / images.shape[-1]) - 1
    return F.grid_sample(images, grid.to(images.dtype), "bilinear", "reflection", align_corners=False)


def recolored(patches: Tensor, drawn: Transforms, mean: Tensor, components: Tensor) -> Tensor:
    """(B, C, P, P) in [0, 1] -> the same: principal components of the pixels times a factor each, then value (and of three channels
    saturation and hue) changed.   mean (C,), components (C, C), one a column."""
    components, mean = components.to(patches), mean.to(patches).view(-1, 1)
    with torch.autocast(patches.device.type, enabled=False):
        strength = torch.einsum("ck,bk,dk->bcd", components, drawn.component.to(patches), components)  # (B, C, C)
        x = (strength @ (patches.flatten(2) - mean) + mean).view_as(patches).clamp(0, 1)
    if x.shape[1] != 3:
        return _bent(x, drawn, 1)
    hue, saturation, value = rgb_to_hsv(x).split(1, dim=1)
    hue = hue + drawn.hue.to(x).view(-1, 1, 1, 1)
    return hsv_to_rgb(torch.cat([hue, _bent(saturation, drawn, 0), _bent(value, drawn, 1)], dim=1))


def _bent(x: Tensor, drawn: Transforms, part: int) -> Tensor:
    """x^power * factor + offset, in [0, 1]; `part` 0: the numbers of saturation, 1: of value."""
    power, factor, offset = (row[:, part].to(x).view(-1, 1, 1, 1) for row in (drawn.power, drawn.factor, drawn.offset))
    return (x**power * factor + offset).clamp(0, 1)
