"""The random numbers of one view for a whole global batch, with torchvision's distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ssl_pipelines.data.transfer import to_device
from ssl_pipelines.views.plan import ViewRecipe

ATTEMPTS = 10  # of a random resized crop, as in torchvision


@dataclass(frozen=True, slots=True)
class Draw:
    """One row an image. Factors are 1 (or 0 for hue, sigma) where the transform is not applied."""

    box: Tensor  # (B, 4) top, left, height, width in px of the source
    flip: Tensor  # (B,) bool
    brightness: Tensor  # (B,)
    contrast: Tensor  # (B,)
    saturation: Tensor  # (B,)
    hue: Tensor  # (B,) fraction of the circle
    order: Tensor  # (B, 4) int64, in which brightness 0, contrast 1, saturation 2 and hue 3 follow each other
    gray: Tensor  # (B,) bool
    sigma: Tensor  # (B,) px of the view; 0: no blur
    solarize: Tensor  # (B,) bool
    angle: Tensor  # (B,) degrees, counter-clockwise
    hole: Tensor  # (B, 4) top, left, height, width in px of the view; without area where nothing is erased
    noise: Tensor  # (B, C, size, size), to be added; (B, 0) where the recipe has none

    def rows(self, rows: slice, device: torch.device) -> Draw:
        return Draw(**{field.name: to_device(getattr(self, field.name)[rows], device) for field in fields(self)})


def draw(
    recipe: ViewRecipe, batch: int, height: int, width: int, random: torch.Generator, *, size: int = 1, channels: int = 1
) -> Draw:
    """`height`, `width` of the source; `size`, `channels` of the view, for what is erased and for noise.

    Draws in a fixed order and in fixed amounts, so that one recipe's numbers never depend on another's outcome."""
    box = _boxes(recipe, batch, height, width, random)
    chance = torch.rand(5, batch, generator=random)
    jittered = chance[0] < recipe.jitter

    def factor(strength: float) -> Tensor:
        value = torch.empty(batch).uniform_(max(0.0, 1 - strength), 1 + strength, generator=random)
        return torch.where(jittered, value, 1.0)

    brightness, contrast, saturation = (factor(s) for s in (recipe.brightness, recipe.contrast, recipe.saturation))
    hue = torch.where(jittered, torch.empty(batch).uniform_(-recipe.hue, recipe.hue, generator=random), 0.0)
    order = torch.rand(batch, 4, generator=random).argsort(1)
    sigma = torch.empty(batch).uniform_(*recipe.blur_sigma, generator=random)
    more = torch.rand(2, batch, generator=random)
    angle = torch.empty(batch).uniform_(-1, 1, generator=random) * recipe.rotation
    hole = _holes(recipe, batch, size, random) * (more[0] < recipe.erase).unsqueeze(1)
    noise = torch.empty(batch, 0)
    if recipe.noise:
        noisy = (more[1] < recipe.noise).view(-1, 1, 1, 1)
        noise = torch.randn(batch, channels, size, size, generator=random) * recipe.noise_std * noisy
    return Draw(
        box=box,
        flip=chance[1] < recipe.flip,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        order=order,
        gray=chance[2] < recipe.grayscale,
        sigma=torch.where(chance[3] < recipe.blur, sigma, 0.0),
        solarize=chance[4] < recipe.solarize,
        angle=angle,
        hole=hole,
        noise=noise,
    )


def _boxes(recipe: ViewRecipe, batch: int, height: int, width: int, random: torch.Generator) -> Tensor:
    if recipe.crop == "none":
        return torch.tensor([0.0, 0.0, height, width]).repeat(batch, 1)
    if recipe.crop == "padded":
        pad = recipe.padding
        offsets = torch.randint(0, 2 * pad + 1, (batch, 2), generator=random) - pad
        return torch.cat([offsets.float(), torch.tensor([float(height), float(width)]).repeat(batch, 1)], dim=1)
    # torchvision's RandomResizedCrop: up to ten attempts, the first that fits; else the largest center crop of an allowed ratio.
    w, h = _attempts(recipe.scale, recipe.ratio, batch, height * width, random)
    w, h, none = _first(w, h, (w >= 1) & (w <= width) & (h >= 1) & (h <= height))
    fallback_w, fallback_h = _fallback(recipe, height, width)
    w, h = torch.where(none, fallback_w, w), torch.where(none, fallback_h, h)
    place = torch.rand(2, batch, generator=random)
    top = torch.where(none, torch.floor((height - h) / 2), torch.floor(place[0] * (height - h + 1)))
    left = torch.where(none, torch.floor((width - w) / 2), torch.floor(place[1] * (width - w + 1)))
    return torch.stack([top, left, h, w], dim=1)


def _holes(recipe: ViewRecipe, batch: int, size: int, random: torch.Generator) -> Tensor:
    """torchvision's RandomErasing: up to ten attempts, the first that is smaller than the view; else nothing is erased."""
    h, w = _attempts(recipe.erase_scale, recipe.erase_ratio, batch, size * size, random)
    h, w, none = _first(h, w, (w < size) & (h < size))
    place = torch.rand(2, batch, generator=random)
    hole = torch.stack([torch.floor(place[0] * (size - h + 1)), torch.floor(place[1] * (size - w + 1)), h, w], dim=1)
    return hole * ~none.unsqueeze(1)


def _attempts(
    scale: tuple[float, float], ratio: tuple[float, float], batch: int, area: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, ATTEMPTS) sides a, b in whole px: a b uniform in `scale` of the area, a / b uniform in its logarithm."""
    areas = area * torch.empty(batch, ATTEMPTS).uniform_(*scale, generator=random)
    low, high = (math.log(bound) for bound in ratio)
    ratios = torch.exp(torch.empty(batch, ATTEMPTS).uniform_(low, high, generator=random))
    return (areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()


def _first(a: Tensor, b: Tensor, fits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, ATTEMPTS) each -> the first pair that fits, and (B,) where none does."""
    first = fits.float().argmax(1, keepdim=True)
    return a.gather(1, first).squeeze(1), b.gather(1, first).squeeze(1), ~fits.any(1)


def _fallback(recipe: ViewRecipe, height: int, width: int) -> tuple[float, float]:
    ratio = width / height
    if ratio < recipe.ratio[0]:
        return float(width), float(round(width / recipe.ratio[0]))
    if ratio > recipe.ratio[1]:
        return float(round(height * recipe.ratio[1])), float(height)
    return float(width), float(height)
