"""Any model of timm as an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import timm
from timm.layers import BatchNormAct2d, PatchEmbed
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.norm import BatchNorm


class BatchNormAct(BatchNorm):
    """timm's batch norm with an activation behind it."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002, torch's own name
        return self.act(self.drop(super().forward(input)))


def over_all_ranks(model: nn.Module) -> None:
    """Gives the model's batch norms the global batch's statistics. Only their class changes: parameters, buffers and names stay."""
    swap = {nn.BatchNorm2d: BatchNorm, BatchNormAct2d: BatchNormAct}
    for module in model.modules():
        module.__class__ = swap.get(type(module), type(module))


def create(name: str, image_size: int, options: Mapping[str, object]) -> Any:
    """The model, told its image size where it wants to know (transformers). Raises InputError where it does not take an option."""
    try:
        return timm.create_model(name, img_size=image_size, **options)
    except TypeError:
        try:
            return timm.create_model(name, **options)
        except TypeError as error:
            raise InputError(f"backbone.name={name!r} cannot be built with {', '.join(options)}: {error}") from error


class TimmEncoder(Encoder):
    """A timm model without its classifier; weights are random (`pretrain.init_from` continues from existing ones).

    `map` is the last feature map for convolutional models and the grid of patch tokens for transformers with one. Where a model
    widens the pooled map by layers of its own before the classifier (MobileNetV3, VGG), `dim` is that width, the map's is smaller."""

    def __init__(self, name: str, in_channels: int, image_size: int, drop_path: float):
        options: dict[str, object] = {"pretrained": False, "in_chans": in_channels, "num_classes": 0}
        if drop_path:
            options["drop_path_rate"] = drop_path
        model = create(name, image_size, options)
        patches = getattr(model, "patch_embed", None)  # other models' patches overlap, or are padded
        if isinstance(patches, PatchEmbed) and not patches.dynamic_img_pad and image_size % patches.patch_size[0]:
            side = patches.patch_size[0]
            raise InputError(f"backbone.name={name!r} has patches of {side} px, which do not divide the view size {image_size}")
        super().__init__(in_channels, int(getattr(model, "head_hidden_size", 0) or model.num_features))
        over_all_ranks(model)
        self.name = name
        self.model = model
        self.pooling = "timm"

    def check_sizes(self, sizes: Iterable[int | None]) -> None:
        patches = getattr(self.model, "patch_embed", None)
        only = patches.img_size[0] if isinstance(patches, PatchEmbed) and patches.strict_img_size and patches.img_size else None
        for size in sizes:
            if only and size and size != only:
                raise InputError(
                    f"backbone.name={self.name!r} takes views of {only} px alone, and here are some of {size}; "
                    "allowed: a ResNet, one of our ViTs, or views of one size"
                )

    def map(self, images: Tensor) -> Tensor:
        x = self.model.forward_features(self.normalize(images))
        if x.dim() == 4:
            return x.permute(0, 3, 1, 2) if x.shape[-1] == self.model.num_features != x.shape[1] else x
        x = x[:, getattr(self.model, "num_prefix_tokens", 0) :]
        side = round(x.shape[1] ** 0.5)
        return x.transpose(1, 2).reshape(len(x), -1, side, side)

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {"final": self(images)}

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model(self.normalize(images))
        return features
