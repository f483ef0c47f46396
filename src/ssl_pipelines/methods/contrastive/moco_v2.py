"""MoCo v2: MoCo with a hidden layer in the head, blur, and a higher temperature. Chen, Fan, Girshick & He 2020, arXiv:2003.04297.

Differs: as MoCo here; blur of up to 0.5 px suits small images (the paper's 2 px are of 224), and the hidden layer is as wide as the encoder,
as the paper's 2048 are.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from ssl_pipelines.methods.contrastive.moco import MoCo
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, two_views

VIEW = SIMCLR_SMALL.model_copy(update={"scale": (0.2, 1.0), "blur": 0.5, "blur_sigma": (0.1, 0.5)})


class MoCoV2(MoCo):
    class Config(MoCo.Config):
        name: Literal["moco_v2"] = "moco_v2"  # type: ignore[assignment]
        views: ViewPlan = two_views(VIEW)
        temperature: float = Field(default=0.2, gt=0, le=10)

    config: Config

    def build_projector(self) -> nn.Module:
        d = self.encoder.dim
        return nn.Sequential(nn.Linear(d, d), nn.ReLU(inplace=True), nn.Linear(d, self.config.projection_dim))
