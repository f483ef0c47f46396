"""The same network in timm: the name and options that build it, and the weights under timm's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.positions import sincos_positions
from ssl_pipelines.networks.resnet import ResNet
from ssl_pipelines.networks.timm_encoder import TimmEncoder
from ssl_pipelines.networks.vit import ViT

VIT_NAMES = {"vit_mini": "vit_tiny_patch16_224", "vit_tiny": "vit_tiny_patch16_224", "vit_small": "vit_small_patch16_224"}
TIMM_EPS = 1e-6  # of the layer norms of timm's vision transformers
SMALL_STEM = "model.conv1, model.maxpool = torch.nn.Conv2d({channels}, 64, 3, 1, 1, bias=False), torch.nn.Identity()"


@dataclass(frozen=True, slots=True)
class Twin:
    """`timm.create_model(name, **options)`, changed by one line where the stem or the last norm differs; it takes `state` strictly."""

    name: str
    options: Mapping[str, Any]
    state: Mapping[str, Tensor] = field(repr=False)
    small_stem: bool = False
    last_eps: float | None = None  # of a transformer's last norm

    def build(self) -> nn.Module:
        """Fresh weights, in evaluation mode."""
        model = timm.create_model(self.name, pretrained=False, **self.options)
        if self.small_stem:
            model.conv1, model.maxpool = nn.Conv2d(self.options["in_chans"], 64, 3, 1, 1, bias=False), nn.Identity()
        if self.last_eps is not None:
            model.norm.eps = self.last_eps
        return model.eval()

    def code(self) -> list[str]:
        """The lines that build it, for a reader who has imported timm and torch."""
        words = [f"{key}={'torch.nn.LayerNorm' if value is nn.LayerNorm else repr(value)}" for key, value in self.options.items()]
        lines = [f"model = timm.create_model({self.name!r}, {', '.join(words)})"]
        lines += [SMALL_STEM.format(channels=self.options["in_chans"])] if self.small_stem else []
        return lines if self.last_eps is None else [*lines, f"model.norm.eps = {self.last_eps:g}"]


def twin_of(encoder: Encoder, name: str, image_size: int) -> Twin | str:
    """`name`: of the backbone block. A string says why there is none. Whether the features agree is for the caller to see."""
    if isinstance(encoder, TimmEncoder):
        return _of_timm(encoder, image_size)
    if isinstance(encoder, ResNet):
        return _of_resnet(encoder, name)
    if type(encoder) is ViT:
        return _of_vit(encoder, name, image_size)
    return f"timm has no twin of {type(encoder).__name__}"


def _of_timm(encoder: TimmEncoder, image_size: int) -> Twin:
    options: dict[str, Any] = {"num_classes": 0, "in_chans": encoder.in_channels}
    try:
        timm.create_model(encoder.name, pretrained=False, img_size=image_size, **options)
        options["img_size"] = image_size
    except TypeError:
        pass  # a model that needs not know the size
    return Twin(encoder.name, options, encoder.model.state_dict())


def _of_resnet(encoder: ResNet, name: str) -> Twin | str:
    if name not in ("resnet18", "resnet34", "resnet50"):
        return f"timm has no twin of {name}: its strides are its own"
    if not isinstance(encoder.stem[1], nn.BatchNorm2d):
        return f"timm has no {name} with this norm"
    if encoder.dim != (2048 if name == "resnet50" else 512):
        return f"timm has no {name} of this width"
    state = {}
    for key, value in encoder.state_dict().items():
        if key not in ("mean", "std"):
            key = key.replace("stem.0.", "conv1.").replace("stem.1.", "bn1.")
            state[_layer(key)] = value
    return Twin(name, {"num_classes": 0, "in_chans": encoder.in_channels}, state, small_stem=len(encoder.stem) == 3)


def _layer(key: str) -> str:
    """layers.0.1.conv1.weight -> layer1.1.conv1.weight"""
    if not key.startswith("layers."):
        return key
    _, stage, rest = key.split(".", 2)
    return f"layer{int(stage) + 1}.{rest}"


def _of_vit(encoder: ViT, name: str, image_size: int) -> Twin | str:
    """Positions become a parameter of the one size; the class token's is 0."""
    if name not in VIT_NAMES:
        return f"timm has no twin of {name}"
    side, channels = encoder.patch_size, encoder.in_channels
    state = {key: value for key, value in encoder.state_dict().items() if key.startswith(("blocks.", "norm.", "cls_token"))}
    weight = encoder.patch_embed.weight  # (D, P P C), each patch in the order (row, column, channel)
    state["patch_embed.proj.weight"] = weight.detach().view(-1, side, side, channels).permute(0, 3, 1, 2).contiguous()
    state["patch_embed.proj.bias"] = encoder.patch_embed.bias.detach()
    positions = sincos_positions(encoder.dim, image_size // side, image_size // side)
    state["pos_embed"] = torch.cat([torch.zeros(1, encoder.dim), positions]).unsqueeze(0)
    options = {
        "num_classes": 0,
        "in_chans": channels,
        "img_size": image_size,
        "patch_size": side,
        "embed_dim": encoder.dim,
        "depth": len(encoder.blocks),
        "num_heads": encoder.blocks[0].attn.num_heads,  # type: ignore[union-attr]
        "global_pool": "token" if encoder.pooling == "cls" else "avg",
        "fc_norm": False,  # the norm stands before the pooling
    }
    within = encoder.blocks[0].norm1.eps  # type: ignore[union-attr]
    if within != TIMM_EPS:  # timm's blocks have changed it
        options["norm_layer"] = nn.LayerNorm
    given = TIMM_EPS if within == TIMM_EPS else nn.LayerNorm(1).eps
    return Twin(VIT_NAMES[name], options, state, last_eps=encoder.norm.eps if encoder.norm.eps != given else None)
