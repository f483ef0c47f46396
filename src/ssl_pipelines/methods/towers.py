"""What methods with several encoders share: each sees a part of the image, and their features stand side by side."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ssl_pipelines.methods.base import Method
from ssl_pipelines.networks.encoder import Encoder


class TowersMethod(Method):
    """`towers` encode what `split` makes of the images, one each; `encode` and every stage are joined along channels."""

    needs = ("rgb",)
    encoders = ("towers",)
    towers: Sequence[Encoder]

    @abstractmethod
    def split(self, images: Tensor) -> Sequence[Tensor]:
        """(B, 3, H, W) -> a tensor a tower, (B, its channels, H, W)."""

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        if stage not in (None, "final"):
            return self.stages(images)[stage]
        return torch.cat([tower(x) for tower, x in zip(self.towers, self.split(images), strict=True)], dim=1)

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        if self.judged_at == "final":
            return super().stages(images)
        each = [tower.stages(x) for tower, x in zip(self.towers, self.split(images), strict=True)]
        return {name: torch.cat([stages[name] for stages in each], dim=1) for name in each[0]}

    @property
    def dim(self) -> int:
        return sum(tower.dim for tower in self.towers)

    @property
    def pooling(self) -> str:
        return self.towers[0].pooling
