"""Any model of timm as an encoder."""

from __future__ import annotations

from collections.abc import Mapping

import timm
from torch import Tensor

from ssl_pipelines.networks.encoder import Encoder


class TimmEncoder(Encoder):
    """A timm model without its classifier; weights are random (`pretrain.init_from` continues from existing ones).

    `map` is the last feature map for convolutional models and the grid of patch tokens for transformers with one."""

    def __init__(self, name: str, in_channels: int, image_size: int, drop_path: float):
        options: dict[str, object] = {"pretrained": False, "in_chans": in_channels, "num_classes": 0}
        if drop_path:
            options["drop_path_rate"] = drop_path
        try:
            model = timm.create_model(name, img_size=image_size, **options)  # transformers want to know
        except TypeError:
            model = timm.create_model(name, **options)
        super().__init__(in_channels, int(model.num_features))
        self.model = model
        self.pooling = "timm"

    def map(self, images: Tensor) -> Tensor:
        x = self.model.forward_features(self.normalize(images))
        if x.dim() == 4:
            return x.permute(0, 3, 1, 2) if x.shape[-1] == self.dim != x.shape[1] else x
        x = x[:, getattr(self.model, "num_prefix_tokens", 0) :]
        side = round(x.shape[1] ** 0.5)
        return x.transpose(1, 2).reshape(len(x), self.dim, side, side)

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {"final": self(images)}

    def forward(self, images: Tensor) -> Tensor:
        return self.model(self.normalize(images))
