"""Deep InfoMax: a code of the whole image that can be told to belong to its own places. Hjelm et al., ICLR 2019, arXiv:1808.06670.

Mutual information of the code and each place of a middle map (local) or the map as a whole (global), by one of three bounds, and an
adversary that pulls the sigmoid of the code towards the uniform distribution; the bounds read the code before the sigmoid. Local
DIM is the default: weights 0, 1 and 0.1. What is evaluated is the encoder's pooled feature, from which the code is a linear layer.
Differs: the encoder is the run's ResNet, its local map the last stage but one (4 x 4 at 32 px), where the paper has three convolutions and two
linear layers; the score networks are narrower; the learning rate suits a short run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.losses.adversarial import critic_loss, fooling_loss
from ssl_pipelines.losses.mutual_information import Measure, mutual_information_loss, place_scores
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.norm import BatchNorm
from ssl_pipelines.networks.resnet import ResNet
from ssl_pipelines.networks.score_net import ScoreNet
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view


class DIM(Method):
    class Config(MethodConfig):
        name: Literal["dim"] = "dim"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.0))
        measure: Measure = "info_nce"
        """Bound on the mutual information: `jsd`, `info_nce` or `dv` (Donsker-Varadhan). InfoNCE tends to be best in the paper and
        gains from larger batches."""
        local_stage: Literal["layer1", "layer2", "layer3"] = "layer3"
        """Stage of the ResNet whose places stand for the image's parts. Take an earlier one for a finer map."""
        code_dim: int = Field(default=64, ge=2, le=4096)
        """Width of the code of the whole image. The paper takes 64."""
        score_dim: int = Field(default=512, ge=8, le=8192)
        """Width of the space in which code and places are scored by dot products. The authors' code takes 2048."""
        global_weight: float = Field(default=0.0, ge=0, le=100)
        """Weight alpha of the mutual information of the code and the whole map. The paper's local DIM has 0."""
        local_weight: float = Field(default=1.0, ge=0, le=100)
        """Weight beta of the mutual information of the code and each place of the map. The paper's local DIM has 1."""
        prior_weight: float = Field(default=0.1, ge=0, le=100)
        """Weight gamma of the adversary that pulls codes towards the uniform distribution; 0 leaves it out. The paper's local DIM
        has 0.1."""
        prior_lr: float = Field(default=1e-4, gt=0, le=1)
        """Learning rate of the adversary's own optimizer, for any batch size. Lower it where the adversary wins too easily."""

        @model_validator(mode="after")
        def _something_is_learnt(self) -> Self:
            if not self.global_weight + self.local_weight:
                raise ValueError("global_weight=0.0 and local_weight=0.0 leave nothing to learn: one above 0 is needed")
            if not self.prior_weight and self.prior_lr != type(self).model_fields["prior_lr"].default:
                raise ValueError(f"prior_lr={self.prior_lr} is the adversary's; with prior_weight=0.0 it would be ignored")
            return self

    config: Config
    encoder: ResNet
    needs = ("resnet",)
    recipe = Recipe(optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=1e-4), batch_size=64)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = parts.build_encoder()  # type: ignore[assignment]
        units = config.score_dim
        with torch.no_grad():
            probe = torch.zeros(1, self.encoder.in_channels, parts.image_size, parts.image_size)
            _, channels, side, _ = self.encoder.eval().maps(probe)[config.local_stage].shape
            self.encoder.train()
        if side < 2:
            raise InputError(
                f"methods.dim.local_stage={config.local_stage!r} is one place of views of {parts.image_size} px; take an earlier one"
            )
        self.to_code = nn.Linear(self.encoder.dim, config.code_dim)
        if config.local_weight:
            self.local_nets = nn.ModuleList([ScoreNet(config.code_dim, units), ScoreNet(channels, units)])
        if config.global_weight:
            down = [
                nn.Conv2d(channels, units, 3, 2, 1, bias=False),
                BatchNorm(units),
                nn.ReLU(inplace=True),
                nn.AdaptiveAvgPool2d(1),
            ]
            self.global_nets = nn.ModuleList([ScoreNet(config.code_dim, units), nn.Sequential(*down, ScoreNet(units, units))])
        if config.prior_weight:
            layers = [nn.Linear(config.code_dim, 1000), nn.ReLU(), nn.Linear(1000, 200), nn.ReLU(), nn.Linear(200, 1)]
            self.discriminator = nn.Sequential(*layers)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        maps = self.encoder.maps(batch.views["global"][0])
        code = self.to_code(maps["layer4"].mean((2, 3)))  # (B, code_dim)
        total, metrics = code.new_zeros(()), {}
        for kind, weight in (("local", self.config.local_weight), ("global", self.config.global_weight)):
            if weight:
                bound = self.information(kind, code, maps[self.config.local_stage])
                total, metrics[kind] = total + weight * bound, bound.detach()
        if self.config.prior_weight:
            fooled = fooling_loss(self.discriminator(code.sigmoid()))
            total, metrics["prior"] = total + self.config.prior_weight * fooled, fooled.detach()
        return Output(total, metrics=metrics, memory={"code": code.detach()})

    def information(self, kind: str, code: Tensor, places: Tensor) -> Tensor:
        of_code, of_map = self.local_nets if kind == "local" else self.global_nets
        whole = of_code(code[:, :, None, None]).flatten(1)  # (B, U)
        return mutual_information_loss(*place_scores(whole, of_map(places).flatten(2)), self.config.measure)

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Output]:
        output = self.loss(batch, clock)
        yield output
        if self.config.prior_weight:
            yield self.discriminate(output.memory["code"])

    def discriminate(self, code: Tensor) -> Output:
        """The adversary's loss: uniform rows count as real, the encoder's codes as fake."""
        true = rand_rows(*code.shape, device=code.device).to(code)
        right = 2 * critic_loss(self.discriminator(true), self.discriminator(code.sigmoid()))  # DIM sums the two sides
        return Output(right, metrics={"adversary": right.detach()}, optimizer="prior")

    def param_groups(self) -> list[ParamGroup]:
        if not self.config.prior_weight:
            return []
        own = OptimizerConfig(name="adamw", lr=self.config.prior_lr, lr_batch=None, weight_decay=0.0)
        return [ParamGroup(self.discriminator, optimizer="prior", config=own)]
