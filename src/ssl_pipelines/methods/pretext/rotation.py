"""Rotation: which of the four right angles was the image turned by? Gidaris et al., ICLR 2018, arXiv:1803.07728.

Differs: the encoder is any of ours; which of its stages is judged is chosen on validation, since the last ones serve the pretext task (section 3.2),
and each is averaged over its map before it is judged; batches of 256 images (128), and a cosine with a warm-up in place of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


def four_rotations(images: Tensor) -> Tensor:
    """(B, C, S, S) -> (4 B, C, S, S): turned by 0, 90, 180, 270 degrees, exactly, by flips and transposes."""
    return torch.cat([torch.rot90(images, k, (2, 3)) for k in range(4)])


class Rotation(Method):
    class Config(MethodConfig):
        name: Literal["rotation"] = "rotation"
        views: ViewPlan = one_view(ViewRecipe(crop="padded", padding=4, flip=0.5))

    config: Config
    compares_within_batch = False
    judged_at = "best"
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.1, lr_batch=128, nesterov=True, weight_decay=5e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        self.classifier = nn.Linear(self.encoder.dim, 4)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = four_rotations(batch.views["global"][0])  # (4 B, C, S, S)
        angle = torch.arange(4, device=images.device).repeat_interleave(len(images) // 4)  # (4 B,)
        logits = self.classifier(self.encoder(images))  # (4 B, 4)
        return Output(F.cross_entropy(logits, angle), metrics={"accuracy": (logits.argmax(1) == angle).float().mean()})

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of an image turned by 0, 90, 180, 270 degrees, then each of these turned back by the angle that is predicted."""
        images = batch.views["global"][0][:8]
        turned = four_rotations(images)  # (4 n, C, S, S)
        angles = self.classifier(self.encoder(turned)).argmax(1).tolist()
        back = torch.stack([torch.rot90(image, -angle, (1, 2)) for image, angle in zip(turned, angles, strict=True)])
        return {"rotations": torch.cat([turned, back]).unflatten(0, (8, -1)).transpose(0, 1).flatten(0, 1)}
