"""MoCo v3: predictions of one view recognize the momentum network's other view among those of the batch. Chen, Xie & He, ICCV 2021, arXiv:2104.02057.

No queue; both views are queries; momentum rises to 1. A ViT's patch projection stays as it was drawn (section 4.2): its gradients come
in bursts that make the training unstable.

Differs: a ResNet by default, which a CPU trains in minutes (backbone.name=vit_mini is the paper's ViT); hidden layers of 1024 instead of
4096, SGD instead of LARS, and no blur for small images; temperature 0.2, the ViTs', also for ResNets (the paper's ResNet-50: 1.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.info_nce import in_batch_info_nce
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import RESNETS, BackboneConfig
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.networks.heads import mlp
from ssl_pipelines.networks.momentum import cosine_momentum, follow, frozen_copy
from ssl_pipelines.networks.vit import ViT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import BYOL_FIRST, BYOL_SECOND, ViewPlan, view_pair


def patch_projection(encoder: Encoder) -> nn.Module | None:
    """The layer that turns a transformer's patches into tokens, ours or timm's; None for a convolutional network."""
    found: nn.Module | None = getattr(getattr(encoder, "model", encoder), "patch_embed", None)
    return found


class MoCoV3(Method):
    class Config(MethodConfig):
        name: Literal["moco_v3"] = "moco_v3"
        views: ViewPlan = view_pair(BYOL_FIRST, BYOL_SECOND)
        temperature: float = Field(default=0.2, gt=0, le=10)
        """Temperature of the scores: 0.2 for ViTs in the paper, 1.0 for its ResNet-50."""
        momentum: float = Field(default=0.99, ge=0, le=1)
        """Share of the momentum network's weights that is kept at each step at first; it rises to 1 by a cosine. The paper takes
        0.99 for short, 0.996 for long runs."""
        hidden_dim: int = Field(default=1024, ge=2, le=8192)
        """Width of the hidden layers of projector and predictor. The paper takes 4096."""
        projection_dim: int = Field(default=256, ge=2, le=8192)
        """Width of queries and keys. The paper takes 256."""
        freeze_patches: bool = True
        """Whether a ViT's patch projection stays as it was drawn, which keeps training stable (section 4.2); ViTs only."""

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if not self.freeze_patches and backbone.name in RESNETS:
                found = f"methods.moco_v3.freeze_patches=False would be ignored: backbone.name={backbone.name!r} has no patches"
                raise InputError(f"{found}; allowed is True")

    config: Config
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.3, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()
        if isinstance(self.encoder, ViT):
            self.encoder.pooling = "cls"
        patches = patch_projection(self.encoder)
        if patches is not None and config.freeze_patches:
            patches.requires_grad_(False)
        hidden, out = config.hidden_dim, config.projection_dim
        layers = [hidden] if patches is None else [hidden, hidden]  # a transformer's projector has three layers, a ResNet's two
        self.projector = mlp([self.encoder.dim, *layers, out], last_norm=True, last_affine=False)
        # The authors' ResNets have no norm behind the predictor, their transformers have.
        self.predictor = mlp([out, hidden, out], last_norm=patches is not None, last_affine=False, last_bias=False)
        self.key_encoder, self.key_projector = frozen_copy(self.encoder), frozen_copy(self.projector)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [x1], [x2] = batch.views["first"], batch.views["second"]  # each (B, C, H, W)
        q1, q2 = (F.normalize(self.predictor(self.projector(self.encoder(x))), dim=1) for x in (x1, x2))  # (B, D)
        with torch.no_grad():
            k1, k2 = (F.normalize(self.key_projector(self.key_encoder(x)), dim=1) for x in (x1, x2))  # (B, D)
        return Output(self.contrast(q1, k2) + self.contrast(q2, k1))

    def contrast(self, queries: Tensor, keys: Tensor) -> Tensor:
        """InfoNCE times 2 t, so that the size of the gradient depends less on the temperature (algorithm 1)."""
        t = self.config.temperature
        return 2 * t * in_batch_info_nce(queries, keys, t)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        follow(self.followers(), cosine_momentum(self.config.momentum, clock.fraction))

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.key_encoder, self.encoder), (self.key_projector, self.projector)]
