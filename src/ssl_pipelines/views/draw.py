"""The random numbers of one view for a whole global batch, with torchvision's distributions."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

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
    gray: Tensor  # (B,) bool
    sigma: Tensor  # (B,) px of the view; 0: no blur
    solarize: Tensor  # (B,) bool

    def rows(self, rows: slice, device: torch.device) -> Draw:
        return Draw(**{field.name: getattr(self, field.name)[rows].to(device) for field in fields(self)})


def draw(recipe: ViewRecipe, batch: int, height: int, width: int, random: torch.Generator) -> Draw:
    """Draws in a fixed order and in fixed amounts, so that one recipe's numbers never depend on another's outcome."""
    box = _boxes(recipe, batch, height, width, random)
    chance = torch.rand(5, batch, generator=random)
    jittered = chance[0] < recipe.jitter

    def factor(strength: float) -> Tensor:
        value = torch.empty(batch).uniform_(max(0.0, 1 - strength), 1 + strength, generator=random)
        return torch.where(jittered, value, 1.0)

    brightness, contrast, saturation = (factor(s) for s in (recipe.brightness, recipe.contrast, recipe.saturation))
    hue = torch.where(jittered, torch.empty(batch).uniform_(-recipe.hue, recipe.hue, generator=random), 0.0)
    sigma = torch.empty(batch).uniform_(*recipe.blur_sigma, generator=random)
    return Draw(
        box=box,
        flip=chance[1] < recipe.flip,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        gray=chance[2] < recipe.grayscale,
        sigma=torch.where(chance[3] < recipe.blur, sigma, 0.0),
        solarize=chance[4] < recipe.solarize,
    )


def _boxes(recipe: ViewRecipe, batch: int, height: int, width: int, random: torch.Generator) -> Tensor:
    if recipe.crop == "none":
        return torch.tensor([0.0, 0.0, height, width]).repeat(batch, 1)
    if recipe.crop == "padded":
        pad = recipe.padding
        offsets = torch.randint(0, 2 * pad + 1, (batch, 2), generator=random) - pad
        return torch.cat([offsets.float(), torch.tensor([float(height), float(width)]).repeat(batch, 1)], dim=1)
    # torchvision's RandomResizedCrop: up to ten attempts, the first that fits; else the largest center crop of an allowed ratio.
    area = height * width * torch.empty(batch, ATTEMPTS).uniform_(*recipe.scale, generator=random)
    low, high = (math.log(bound) for bound in recipe.ratio)
    ratio = torch.exp(torch.empty(batch, ATTEMPTS).uniform_(low, high, generator=random))
    w, h = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (w >= 1) & (w <= width) & (h >= 1) & (h <= height)
    first = fits.float().argmax(1, keepdim=True)
    w, h = w.gather(1, first).squeeze(1), h.gather(1, first).squeeze(1)
    fallback_w, fallback_h = _fallback(recipe, height, width)
    none = ~fits.any(1)
    w, h = torch.where(none, fallback_w, w), torch.where(none, fallback_h, h)
    place = torch.rand(2, batch, generator=random)
    top = torch.where(none, torch.floor((height - h) / 2), torch.floor(place[0] * (height - h + 1)))
    left = torch.where(none, torch.floor((width - w) / 2), torch.floor(place[1] * (width - w + 1)))
    return torch.stack([top, left, h, w], dim=1)


def _fallback(recipe: ViewRecipe, height: int, width: int) -> tuple[float, float]:
    ratio = width / height
    if ratio < recipe.ratio[0]:
        return float(width), float(round(width / recipe.ratio[0]))
    if ratio > recipe.ratio[1]:
        return float(round(height * recipe.ratio[1])), float(height)
    return float(width), float(height)
