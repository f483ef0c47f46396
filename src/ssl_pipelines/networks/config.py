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

SMALLEST_PATCH, FEWEST_PATCHES, MOST_PATCHES = 4, 4, 14  # px a side; patches a side of the largest view
MOST_PLACES = 16  # of a map a side
SMALL_STEM_UP_TO = 64  # px of the images; above it a ResNet has the ImageNet stem
STRIDES = (1, 2, 4, 8, 16, 32)  # px a place of a ResNet's last map


class BackboneConfig(Config):
    """The encoder that is trained: one of ours or any timm model."""

    name: str = "auto"
    """Encoder: `auto` is the method's own choice; else resnet_small, resnet18, resnet34, resnet50, vit_mini, vit_tiny, vit_small,
    unpadded_small, unpadded_base or any timm model. Larger ones learn more and train longer."""
    stem: Literal["auto", "small", "imagenet"] = "auto"
    """First layers of a ResNet: `small` is 3x3 with stride 1 and no pooling, `imagenet` 7x7 with stride 2 and pooling; `auto` is
    small up to 64 px."""
    width: float = Field(default=1.0, gt=0, le=8)
    """Factor on the number of channels of a ResNet or an unpadded network. Raise it for more capacity; SimCLR v2 gains from 2 and
    3."""
    norm: Literal["auto", "batch", "layer", "none"] = "auto"
    """Norm layers of a ResNet; `auto` is batch norm, or what the method needs."""
    output_stride: Literal[1, 2, 4, 8, 16, 32] | None = None
    """Px of the image for each place of a ResNet's last map: later stages keep the resolution from there on. Null is the ResNet's
    own; lower it for a finer map, which costs time."""
    patch_size: int = Field(default=SMALLEST_PATCH, ge=1, le=64)
    """Side in px of a ViT's patches. Where none is given, it follows the views' sizes, with 14 x 14 patches or fewer; smaller
    patches show more and cost more."""
    depth: int | None = Field(default=None, ge=1, le=48)
    """Number of blocks of a ViT; null is that of its name."""
    positions: Literal["sincos", "relative"] = "sincos"
    """How a ViT knows where a patch lies: fixed sines and cosines, or one learnt table of relative biases for all blocks
    (`relative`)."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Chance, 0 to below 1, that a residual branch of the last block is left out for an image while training; it grows linearly
    from 0 in the first block. ViTs and timm models only; raise it for deep networks and long training."""


def fitting_patch_size(sizes: Collection[int]) -> int:
    """Side of a patch in px, 4 or more: the smallest that divides every view's side into 14 x 14 patches or fewer, as papers have
    at 224 px. Where none gives so few, the largest that divides them. The largest view has at least 4 x 4 and the smallest 2 x 2;
    where nothing fits, 4 px."""
    largest, sides = max(sizes), range(SMALLEST_PATCH, min(sizes) // 2 + 1)
    fitting = [side for side in sides if largest >= FEWEST_PATCHES * side and not any(size % side for size in sizes)]
    few = [side for side in fitting if largest <= MOST_PATCHES * side]
    return min(few, default=max(fitting, default=SMALLEST_PATCH))


def fitting_stride(size: int, own: int, parts: int = 1) -> int:
    """Px of the image for each place of a map: `own`, or the next power of 2 that gives at most 16 x 16 places to a view of `size`
    px and whole ones to each of its `parts` parts a side. Where nothing does, the largest that gives whole ones."""
    powers = [2**k for k in range(6) if size % (parts * 2**k) == 0] or [1]
    few = [stride for stride in powers if size <= MOST_PLACES * stride]
    return min([stride for stride in few if stride >= own] or few[-1:] or powers[-1:])


def coarsest_stride(size: int, least: int) -> int:
    """Px of the image for each place of a ResNet's last map: the largest, up to 32 as in papers, that leaves a view of `size` px
    `least` places a side; or 1.

    A stage that halves an odd side rounds up, so places do too: of 28 px 8 px a place leave 4 x 4."""
    return max((stride for stride in STRIDES if -(-size // stride) >= least), default=1)
