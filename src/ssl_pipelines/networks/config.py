"""The `backbone` block. Light on purpose: the command line reads it before any framework is loaded."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field

from ssl_pipelines.artifacts import Config

RESNETS = ("resnet_small", "resnet18", "resnet34", "resnet50")
VITS = {"vit_mini": (192, 4, 3), "vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6)}  # width, depth, heads
UNPADDED = {"unpadded_small": (32, 256, 2), "unpadded_base": (128, 1024, 3)}  # width, width of the last map, 1x1 depth: AMDIM's

KINDS: dict[str, tuple[str, ...]] = {"resnet": RESNETS, "vit": tuple(VITS), "unpadded": tuple(UNPADDED)}

SMALLEST_PATCH, MOST_PATCHES = 4, 14  # px a side; patches a side


class BackboneConfig(Config):
    """`auto` is the method's own choice; any other name is one of ours or any timm model."""

    name: str = "auto"
    stem: Literal["auto", "small", "imagenet"] = "auto"  # small: 3x3, stride 1, no pooling; auto: small up to 64 px
    width: float = Field(default=1.0, gt=0, le=8)  # channels of a ResNet or an unpadded network, times this
    norm: Literal["auto", "batch", "layer", "none"] = "auto"  # ResNets; auto: batch, or the one that the method needs
    output_stride: Literal[1, 2, 4, 8, 16, 32] | None = (
        None  # ResNets: px a place of the last map; later stages keep the resolution
    )
    patch_size: int = Field(default=SMALLEST_PATCH, ge=1, le=64)  # ViT only; where none is given, `fitting_patch_size` of the views
    depth: int | None = Field(default=None, ge=1, le=48)  # ViT only; None: the name's
    positions: Literal["sincos", "relative"] = "sincos"  # ViT only; relative: one table of biases for all blocks, nothing absolute
    drop_path: float = Field(default=0.0, ge=0, lt=1)  # ViT and timm models


def fitting_patch_size(sizes: Collection[int]) -> int:
    """px: the smallest of 4 or more that divides every view's side and makes at most 14 x 14 patches, as papers have at 224 px."""
    fitting = (
        side
        for side in range(SMALLEST_PATCH, max(sizes) // 2 + 1)
        if max(sizes) <= MOST_PATCHES * side and not any(size % side for size in sizes)
    )
    return next(fitting, SMALLEST_PATCH)
