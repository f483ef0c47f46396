"""The adversary of a generator of images."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_pipelines.networks.norm import BatchNorm

LAST_SIDE, WIDEST = 4, 8


class Critic(nn.Module):
    """(B, C, S, S) -> logits (B, 1), positive for real: 4x4 convolutions of stride 2 down to at most 4 places a side, leaky ReLUs, and a
    linear layer over what is left. No norm at the first layer. Radford et al. 2016 (DCGAN), arXiv:1511.06434, section 3."""

    def __init__(self, in_channels: int, image_size: int, width: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        side, channels, count = image_size // 2, width, 1
        while side > LAST_SIDE:
            wider = width * min(WIDEST, 2**count)
            layers += [nn.Conv2d(channels, wider, 4, 2, 1, bias=False), BatchNorm(wider), nn.LeakyReLU(0.2, inplace=True)]
            side, channels, count = side // 2, wider, count + 1
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits
