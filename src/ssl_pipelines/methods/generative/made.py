"""MADE: an autoencoder whose masks make its outputs a product of conditionals. Germain et al., ICML 2015, arXiv:1502.03509.

Each output knows only the inputs before it in an order, so that one pass gives log p(x) exactly. Order and connectivity change every step,
through a list of mask sets; a finished model is their mixture, log p(x) = log mean_k p_k(x), an average of probabilities, not of logits.
What is evaluated is a hidden layer, averaged over mask sets; the paper claims no representation.
Differs: 16 px and two layers of 1024 units, for a short run, trained by Adam from torch's own initial weights (the authors' code:
orthogonal ones); photographs are cut at half of each channel's range to two levels, as the paper's data are binary (levels=... up to 256,
with a softmax); samples of one call share a mask set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.likelihood import LevelsConfig, LikelihoodMethod, from_levels, own_recipe, to_levels
from ssl_pipelines.networks.masked_linear import MaskedMLP
from ssl_pipelines.views.batch import Batch

SHOWN = 8  # images


class MADE(LikelihoodMethod):
    class Config(LevelsConfig):
        name: Literal["made"] = "made"
        levels: int = Field(default=2, ge=2, le=256)
        units: int = Field(default=1024, ge=8, le=16384)
        """Number of units of each hidden layer."""
        depth: int = Field(default=2, ge=1, le=8)
        """Number of hidden layers."""
        num_masks: int = Field(default=32, ge=1, le=1024)
        """Number of mask sets that training goes through, and whose mixture the finished model is. The authors' code takes 32; more
        take longer to score."""
        order_agnostic: bool = True
        """Whether each mask set has an order of the inputs of its own; otherwise all have raster order."""
        connectivity_agnostic: bool = True
        """Whether each mask set has connections of its own."""
        direct: bool = False
        """Whether each input also reaches the outputs after it directly, past the hidden layers."""
        feature_masks: int = Field(default=8, ge=1, le=1024)
        """Number of mask sets that features are averaged over, at most `num_masks`."""

        @model_validator(mode="after")
        def _masks_differ(self) -> Self:
            if self.num_masks > 1 and not (self.order_agnostic or self.connectivity_agnostic):
                raise ValueError(
                    f"num_masks={self.num_masks} would be equal with order_agnostic=False and connectivity_agnostic=False: 1 is allowed"
                )
            if self.feature_masks > self.num_masks:
                raise ValueError(f"feature_masks={self.feature_masks} is more than num_masks={self.num_masks}")
            return self

    config: Config
    encoder: MaskedMLP
    recipe = own_recipe(1e-3, 32)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder = MaskedMLP(
            self.channels,
            self.channels * parts.image_size**2,
            config.units,
            config.depth,
            config.levels,
            num_masks=config.num_masks,
            orders_differ=config.order_agnostic,
            units_differ=config.connectivity_agnostic,
            direct=config.direct,
            feature_masks=config.feature_masks,
        )

    def loss(self, batch: Batch, clock: Clock) -> Output:
        x = self.quantized(batch.views["global"][0])
        nats = -self.log_prob(x, clock.step % self.config.num_masks).mean() / x.shape[1]
        return Output(nats, metrics={"bits_per_dim": nats.detach() / math.log(2)})

    def log_prob(self, x: Tensor, k: int) -> Tensor:
        """Quantized inputs (B, D) in [-1, 1] -> log p_k in nats, (B,)."""
        # The lowest level's logit is 0: with two levels this is the paper's sigmoid.
        logits = F.pad(self.encoder.logits(x, k), (1, 0))
        level = ((x + 1) / 2 * (self.config.levels - 1)).round().long()
        return -F.cross_entropy(logits.transpose(1, 2), level, reduction="none").sum(1)

    def log_likelihood(self, images: Tensor) -> Tensor:
        x = self.quantized(images)
        each = torch.stack([self.log_prob(x, k) for k in range(self.config.num_masks)])  # (M, B)
        return torch.logsumexp(each, dim=0) - math.log(len(each))

    def quantized(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D) in [-1, 1], one of the levels each."""
        return self.encoder.flat(self.shown(images))

    def shown(self, images: Tensor) -> Tensor:
        """Images as the network sees them, in [0, 1]."""
        return from_levels(to_levels(images, self.config.levels), self.config.levels, images)

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.encoder(self.shown(images)) if stage in (None, "final") else self.stages(images)[stage]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return self.encoder.stages(self.shown(images))

    def symbols(self, images: Tensor) -> Tensor:
        return to_levels(images, self.config.levels).flatten(2)

    @property
    def num_symbols(self) -> int:
        return self.config.levels

    def coded(self) -> str:
        masks = f", the mixture of {self.config.num_masks} mask sets" if self.config.num_masks > 1 else ""
        return f"a channel of a pixel, {self.config.levels} levels, {self.image_size} px{masks}"

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """-> (n, D) in [-1, 1], input after input in the order of a mask set that is drawn first."""
        k, top = int(torch.randint(self.config.num_masks, ())), self.config.levels - 1
        x = self.encoder.last.weight.new_zeros(n, self.encoder.orders.shape[1])
        weights = self.encoder.masked(k)
        for d in self.encoder.orders[k].argsort().tolist():
            logits = F.pad(self.encoder.logits_of(x, k, self.encoder.hidden(x, weights)[-1], d), (1, 0))
            x[:, d] = torch.distributions.Categorical(logits=logits).sample().to(x) * 2 / top - 1
        return x

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Drawn images; rows of (what the network reads of an image, original)."""
        images = batch.views["global"][0][:SHOWN]
        size, channels = self.image_size, self.channels
        drawn = self.sample(SHOWN).unflatten(1, (size, size, channels)).movedim(3, 1)
        return {
            "samples": (drawn + 1) / 2,
            "levels": torch.stack([self.shown(images), images], dim=1).flatten(0, 1),
        }
