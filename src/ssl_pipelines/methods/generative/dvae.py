"""dVAE: an image as a grid of discrete codes, learnt through a relaxation of the draw. Ramesh et al. (DALL-E), ICML 2021, arXiv:2102.12092.

The encoder gives each place of its last map a distribution over K codes; a Gumbel-softmax draw of it, soft in both directions, is what
the decoder sees; the loss is the negative evidence lower bound with a logit-Laplace likelihood (appendix A). `tokens` takes the most
probable code of each place: BEiT predicts those. What is kept of the weights is their moving average.

Differs: the encoder is the run's ResNet with its map at 4 px a place, or what gives larger images at most 16 x 16 places (the paper has
one of its own at 8), pooled where it is evaluated, which the paper does not do; 512 codes; a learning rate of 1e-3 and batches of 64
(1e-4 and 512); the schedules of millions of updates are fractions of the run, longer ones for a short run; the average starts short and
follows at 0.99 in place of 0.999. The weight of the KL term keeps the paper's proportion between one code and the 192 pixel values that
it stands for there: loss = mean over values of -log p + kl_weight / 192 * mean over codes of KL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.losses.code_entropy import codes_in_use, kl_to_uniform
from ssl_pipelines.losses.logit_laplace import logit_laplace, released, squeezed
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.bottleneck_decoder import BottleneckDecoder
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.gumbel import relaxed_one_hot
from ssl_pipelines.networks.momentum import follow, frozen_copy
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

VALUES_A_CODE = 192  # 8 x 8 px of three channels, the paper's


class DVAE(Method):
    class Config(MethodConfig):
        name: Literal["dvae"] = "dvae"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5))
        num_tokens: int = Field(default=512, ge=2, le=65536)
        """Number of codes. The paper takes 8,192."""
        kl_weight: float = Field(default=6.6, ge=0, le=1000)
        """Weight of the divergence from uniform use of the codes after its warm-up, per 192 pixel values, as in the paper (6.6).
        Lower it where one code serves all."""
        kl_warmup_fraction: float = Field(default=0.5, ge=0, le=1)
        """Share of the run over which that weight rises from 0; 1/600 in the paper's far longer run."""
        temperature: float = Field(default=1.0, gt=0, le=10)
        """Temperature of the relaxed draw of codes at first. The paper takes 1."""
        temperature_end: float = Field(default=1 / 16, gt=0, le=10)
        """Temperature of the relaxed draw of codes at the end. The paper takes 1/16, at which draws are nearly discrete."""
        temperature_fraction: float = Field(default=0.6, ge=0, le=1)
        """Share of the run over which the temperature falls; 1/20 in the paper's far longer run."""
        pixel_margin: float = Field(default=0.1, gt=0, lt=0.5)
        """Margin epsilon by which pixels are kept away from 0 and 1, where the likelihood is not finite. The paper takes 0.1."""
        decoder_dim: int = Field(default=128, ge=16, le=4096)
        """Number of the decoder's channels at the map of codes; each doubling of the map halves them."""
        decoder_blocks: int = Field(default=1, ge=1, le=8)
        """Number of the decoder's blocks for each size of the map. The paper takes 2."""
        average_momentum: float = Field(default=0.99, ge=0, lt=1)
        """Share of the moving average of the weights, which is what is kept, that stays at each step. Raise it, to the paper's
        0.999, for long runs."""

    config: Config
    compares_within_batch = False
    judged_at = "best"
    encoders = ("average_encoder",)
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=4),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=1e-4, final_lr_fraction=0.0125),
        batch_size=64,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder, size = parts.build_encoder(), parts.image_size
        self.side = self.encoder.map_side(size)
        doublings = round(math.log2(size / self.side))
        if self.side << doublings != size:
            found = f"the encoder's map has {self.side} places a side for views of {size} px"
            raise InputError(f"method='dvae': {found}; allowed are 1, 2, 4, 8, ... px a place (backbone.output_stride)")
        self.to_logits = nn.Conv2d(self.encoder.dim, config.num_tokens, 1)
        channels = self.encoder.in_channels
        self.decoder = BottleneckDecoder(config.num_tokens, config.decoder_dim, doublings, config.decoder_blocks, 2 * channels)
        self.average_encoder = frozen_copy(self.encoder)
        self.average_to_logits, self.average_decoder = frozen_copy(self.to_logits), frozen_copy(self.decoder)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]  # (B, C, S, S)
        logits = self.to_logits(self.encoder.map(images))  # (B, K, h, w)
        uniform = rand_rows(*logits.shape, device=logits.device)
        codes = relaxed_one_hot(logits, uniform, self.temperature(clock))  # (B, K, h, w)
        mean, log_scale = self.decoder(codes).chunk(2, dim=1)  # each (B, C, S, S)
        surprise = -logit_laplace(squeezed(images, self.config.pixel_margin), mean, log_scale).mean()
        kl = kl_to_uniform(logits).mean()
        metrics = {"surprise": surprise, "kl": kl, "codes": codes_in_use(logits.argmax(1), self.num_tokens)}
        return Output(
            surprise + self.kl_weight(clock) / VALUES_A_CODE * kl, {key: value.detach() for key, value in metrics.items()}
        )

    def temperature(self, clock: Clock) -> float:
        config = self.config
        return _cosine(config.temperature, config.temperature_end, clock.fraction, config.temperature_fraction)

    def kl_weight(self, clock: Clock) -> float:
        return _cosine(0.0, self.config.kl_weight, clock.fraction, self.config.kl_warmup_fraction)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        follow(self.followers(), min(self.config.average_momentum, (1 + clock.step) / (10 + clock.step)))
        for copied, original in self.followers():
            for mine, theirs in zip(copied.buffers(), original.buffers(), strict=True):
                mine.copy_(theirs)  # of batch norms

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        names = ("encoder", "to_logits", "decoder")
        return [(self.get_submodule(f"average_{name}"), self.get_submodule(name)) for name in names]

    @property
    def num_tokens(self) -> int:
        return self.config.num_tokens

    @torch.no_grad()
    def tokens(self, images: Tensor) -> Tensor:
        """images (B, C, S, S) in [0, 1] -> the most probable codes (B, T) int64, row by row; never in half precision, where many tie."""
        with torch.autocast(images.device.type, enabled=False):
            return self.average_to_logits(self.average_encoder.map(images)).argmax(1).flatten(1)

    @torch.no_grad()
    def picture_of(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, C, S, S) in [0, 1]: the middle of the decoder's density."""
        side = math.isqrt(tokens.shape[1])
        codes = F.one_hot(tokens.unflatten(1, (side, side)), self.num_tokens).permute(0, 3, 1, 2)
        weight = self.average_to_logits.weight
        mean, _ = self.average_decoder(codes.to(weight)).chunk(2, dim=1)
        return released(mean.sigmoid(), self.config.pixel_margin)

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.average_encoder(images) if stage in (None, "final") else self.stages(images)[stage]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return self.average_encoder.stages(images)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (image, what the decoder makes of its tokens)."""
        images = batch.views["global"][0][:8]
        return {"reconstructions": torch.stack([images, self.picture_of(self.tokens(images))], dim=1).flatten(0, 1)}


def _cosine(start: float, end: float, fraction: float, until: float) -> float:
    """Half a cosine from `start` to `end`, which is reached at the fraction `until` of the run."""
    done = min(1.0, fraction / until) if until else 1.0
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
