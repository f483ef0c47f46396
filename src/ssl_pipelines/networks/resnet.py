"""Residual networks: ResNet-18/34/50 of torchvision with a stem from config, and a small one for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.norm import NORMS

# name -> block, blocks a stage, width of the stages, stride of the stages, width of the stem
LAYOUTS = {
    "resnet_small": (BasicBlock, (1, 1, 1, 1), (32, 64, 128, 256), (2, 2, 2, 2), 32),
    "resnet18": (BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512), (1, 2, 2, 2), 64),
    "resnet34": (BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512), (1, 2, 2, 2), 64),
    "resnet50": (Bottleneck, (3, 4, 6, 3), (64, 128, 256, 512), (1, 2, 2, 2), 64),
}


class ResNet(Encoder):
    """He et al., CVPR 2016, arXiv:1512.03385. Differs: with the small stem one 3x3 convolution and no pooling stand before stage 1.

    With norm="none" each of L residual branches ends in a scale of 1 / sqrt(L) at first, so that depth does not blow up the sum."""

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        *,
        small_stem: bool = True,
        width: float = 1.0,
        norm: str = "batch",
        output_stride: int | None = None,
    ):
        block, depths, widths, strides, stem_width = LAYOUTS[name]
        # Bottleneck's base width is defined by `planes`, so scaling the planes scales the network.
        planes = [max(8, round(w * width / 8) * 8) for w in widths]
        super().__init__(in_channels, planes[-1] * block.expansion)
        channels, normed = max(8, round(stem_width * width / 8) * 8), NORMS[norm]
        if small_stem:
            self.stem = nn.Sequential(
                nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False), normed(channels), nn.ReLU(inplace=True)
            )
        else:
            conv = nn.Conv2d(in_channels, channels, 7, 2, 3, bias=False)
            self.stem = nn.Sequential(conv, normed(channels), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        stages, reached = [], 1 if small_stem else 4  # px a place
        for depth, plane, stride in zip(depths, planes, strides, strict=True):
            if output_stride is not None and reached * stride > output_stride:
                stride = 1
            reached *= stride
            stages.append(_stage(block, channels, plane, depth, stride, normed))
            channels = plane * block.expansion
        self.layers = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if norm == "none" and isinstance(module, BasicBlock | Bottleneck):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.constant_(last.weight, sum(depths) ** -0.5)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # 1.5 times as fast on CPU, and what tensor cores want

    def map(self, images: Tensor) -> Tensor:
        return self.maps(images)[f"layer{len(self.layers)}"]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {name: x.mean((2, 3)) for name, x in self.maps(images).items()}

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """layer1 to layer4 -> (B, D_s, h_s, w_s)."""
        x = self.stem(self.normalize(images).contiguous(memory_format=torch.channels_last))
        maps = {}
        for k, layer in enumerate(self.layers, start=1):
            x = maps[f"layer{k}"] = layer(x)
        return maps


def _stage(
    block: type[BasicBlock | Bottleneck], channels: int, planes: int, depth: int, stride: int, normed: Callable[[int], nn.Module]
) -> nn.Sequential:
    out = planes * block.expansion
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), normed(out))
    blocks = [block(channels, planes, stride, shortcut, norm_layer=normed)]
    blocks += [block(out, planes, norm_layer=normed) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)
