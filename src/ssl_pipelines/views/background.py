"""Other backgrounds behind the foregrounds, before a view is cropped and colored. Ryali, Schwab & Morcos 2021, arXiv:2103.12719.

Three augmentations: the background removed (gray of a random level), taken from another image, or swapped: a view and another image's
foreground on one background, a third image's, so that only the foreground tells this negative apart. A mask that is foreground
everywhere was found implausible at ingestion: its image stays as it is, and lends nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_pipelines.views.plan import ViewPlan
from ssl_pipelines.views.randomness import generator

FOREGROUND = 127  # a mask's value above it is foreground


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers that views are composed of, uint8: the batch's masks (B, S, S), and for each of V views the images (V, B, S, S, C)
    that lend it a background or a foreground, with theirs (V, B, S, S)."""

    masks: Tensor
    donors: Tensor
    donor_masks: Tensor


@dataclass(frozen=True, slots=True)
class Composed:
    """group -> its views' images (B, C, S, S); group of swaps -> (B,) bool, where there is one."""

    images: dict[str, list[Tensor]]
    swapped: dict[str, Tensor]


def composed(source: Tensor, layers: Layers, plan: ViewPlan, seed: int, step: int, rows: slice, batch_size: int) -> Composed:
    """source (B, C, S, S) in [0, 1] -> every group's views with their backgrounds, still uncropped.

    The numbers are drawn for the global batch of `batch_size`, whose `rows` these are, apart from those of crops and colors."""
    mask, wanted = layers.masks > FOREGROUND, plan.backgrounds
    own, usable = tiled_background(source, mask), plausible(mask)
    images: dict[str, list[Tensor]] = {}
    behind: dict[str, Tensor] = {}  # what lies behind a group's first view
    swapped: dict[str, Tensor] = {}
    groups = [(name, group) for name, group in plan.groups.items() if group.same_as is None]
    donors = iter(zip(layers.donors, layers.donor_masks, strict=True))
    # A swap comes after what it swaps with: the first view of a group, put on the background of its donor where the swap counts.
    groups.sort(key=lambda item: item[1].swap_of is not None)
    drawn = {
        name: torch.rand(2, group.count, batch_size, generator=generator(seed, f"views/{name}/background", step))[..., rows].to(
            source.device
        )
        for name, group in groups
    }
    partners = {group.swap_of: name for name, group in groups if group.swap_of is not None}
    for name, group in groups:
        images[name] = []
        for view, (chance, level) in enumerate(drawn[name].unbind(1)):
            donor, donor_mask = next(donors)
            theirs, theirs_mask = donor.permute(0, 3, 1, 2).float() / 255, donor_mask > FOREGROUND
            if group.swap_of is not None:
                swapped[name] = swapped[name] & plausible(theirs_mask)
                images[name].append(composite(theirs, theirs_mask, behind[group.swap_of]))
                continue
            gray = level.view(-1, 1, 1, 1).expand_as(source)
            removed, random = chance < wanted.removed, chance < wanted.removed + wanted.random
            if name in partners and view == 0:
                partner = partners[name]
                swapped[partner] = usable & plausible(theirs_mask) & (drawn[partner][0, 0] < wanted.swapped)
                removed, random = removed & ~swapped[partner], random | swapped[partner]
            background = torch.where(_each(removed), gray, torch.where(_each(random), tiled_background(theirs, theirs_mask), own))
            touched = usable & random & (removed | plausible(theirs_mask))
            behind.setdefault(name, torch.where(_each(touched), background, own))
            images[name].append(torch.where(_each(touched), composite(source, mask, background), source))
    return Composed(images, swapped)


def composite(images: Tensor, mask: Tensor, background: Tensor) -> Tensor:
    """(B, C, S, S) where the mask (B, S, S) is true, the background elsewhere."""
    return torch.where(mask.unsqueeze(1), images, background)


def plausible(mask: Tensor) -> Tensor:
    """(B, S, S) -> (B,): there is a background."""
    return ~mask.flatten(1).all(1)


def tiled_background(images: Tensor, mask: Tensor) -> Tensor:
    """(B, C, S, S), (B, S, S) true in the foreground -> images of background alone: of the four strips beside the foreground's bounding
    box the largest, mirrored until the image is full. Where there is none: the mean color of the background."""
    size = mask.shape[-1]
    top, bottom = _span(mask.any(2))
    left, right = _span(mask.any(1))
    zero, whole = torch.zeros_like(top), torch.full_like(top, size)
    strips = torch.stack(  # (4, 4, B): first row, rows, first column, columns
        [
            torch.stack([zero, top, zero, whole]),
            torch.stack([bottom, size - bottom, zero, whole]),
            torch.stack([zero, whole, zero, left]),
            torch.stack([zero, whole, right, size - right]),
        ]
    )
    area = strips[:, 1] * strips[:, 3]  # (4, B)
    best = area.argmax(0)
    row, rows, column, columns = strips[best, :, torch.arange(len(best), device=best.device)].unbind(1)
    down, across = _mirrored(row, rows, size), _mirrored(column, columns, size)  # (B, S)
    b = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    tiled = images.permute(0, 2, 3, 1)[b, down.unsqueeze(2), across.unsqueeze(1)].permute(0, 3, 1, 2)
    weight = (~mask).unsqueeze(1).to(images.dtype)
    mean = (images * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(_each(area.amax(0) > 0), tiled, mean)


def _span(filled: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S) bool -> first true place and the one after the last; (S, S) where there is none."""
    size, some = filled.shape[1], filled.any(1)
    first, last = filled.int().argmax(1), size - filled.flip(1).int().argmax(1)
    return torch.where(some, first, size), torch.where(some, last, size)


def _mirrored(start: Tensor, length: Tensor, size: int) -> Tensor:
    """(B,), (B,) -> (B, size): start .. start + length - 1, back again, and so on."""
    length = length.clamp(min=1).unsqueeze(1)
    step = torch.arange(size, device=start.device) % (2 * length)
    return (start.unsqueeze(1) + torch.minimum(step, 2 * length - 1 - step)).clamp(max=size - 1)


def _each(flag: Tensor) -> Tensor:
    return flag.view(-1, 1, 1, 1)
