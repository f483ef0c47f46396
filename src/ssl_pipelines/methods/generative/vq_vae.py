"""VQ-VAE: the image as a map of discrete codes, learnt through a straight-through gradient. van den Oord et al., NeurIPS 2017, arXiv:1711.00937.

|x - D(z_q)|^2 + beta |z_e - sg[z_q]|^2, both means over their elements, z_q the code nearest to z_e at each place, its gradient handed to z_e
as it is; pixels are standardized, so that the first term is a share of their variance. Codes follow by moving averages (appendix A.1),
or, `codebook="loss"`, by |sg[z_e] - z_q|^2 (eq. 3). A prior over maps of codes, autoregressive, is trained with its own optimizer on
detached codes; samples are drawn from it and decoded. Features: z_e pooled, or an earlier stage as validation says.

Differs: the run's encoder held at a quarter of the image's side (16 x 16 places at most), and upsampling convolutions back; a code
that has fallen out of use starts anew from a place of the batch (not in the paper; `revive_below=0` leaves it); the prior, small,
is trained along, where the paper fits a PixelCNN afterwards; a faster decay, 256 codes and a higher learning rate suit short runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.code_prior import CodePrior
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.conv_decoder import ConvDecoder
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.networks.quantizer import VectorQuantizer, perplexity, straight_through
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

OF_AVERAGES = ("decay", "revive_below")


class VQVAE(Method):
    class Config(MethodConfig):
        name: Literal["vq_vae"] = "vq_vae"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.5))
        num_codes: int = Field(default=256, ge=2, le=65536)
        """Number of codes. The paper takes 512."""
        code_dim: int = Field(default=64, ge=1, le=4096)
        """Width of a code. The paper takes 64 for images."""
        codebook: Literal["ema", "loss"] = "ema"
        """How codes follow the places that chose them: by moving averages (`ema`, appendix A.1) or by a loss (equation 3)."""
        decay: float = Field(default=0.97, ge=0, lt=1)
        """Share of the moving averages that is kept at each step, with codebook=ema. Raise it, to the paper's 0.99, for long
        runs."""
        revive_below: float = Field(default=0.05, ge=0, lt=1)
        """Share of the codes' mean use below which a code starts anew from a place of the batch, with codebook=ema; 0 never. Raise
        it where few codes are used."""
        commitment: float = Field(default=0.25, gt=0, le=100)
        """Weight beta of the distance of the encoder's output from its code. The paper takes 0.25."""
        decoder_width: int = Field(default=32, ge=1, le=1024)
        """Number of the decoder's channels at the image's own side; coarser maps have up to 8 times as many."""
        prior_dim: int = Field(default=64, ge=1, le=4096)
        """Width of the autoregressive prior over maps of codes, from which samples are drawn."""
        prior_depth: int = Field(default=4, ge=1, le=64)
        """Number of the prior's blocks. More see further."""
        prior_lr: float = Field(default=1e-3, gt=0, le=1)
        """Learning rate of the prior's own optimizer."""

        @model_validator(mode="after")
        def _of_the_codebook(self) -> Self:
            for key in OF_AVERAGES:
                if self.codebook != "ema" and getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key}={getattr(self, key)} is read with codebook='ema'; here it would be ignored")
            return self

    config: Config
    judged_at = "best"
    recipe = Recipe(
        backbone=BackboneConfig(name="resnet_small", output_stride=4),
        optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=0.0),
        batch_size=128,
    )

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder, size = parts.build_encoder(), parts.image_size
        width, self.side = map_shape(self.encoder, size)
        if self.side < 2:
            raise InputError(
                f"method={config.name!r} needs a map of codes, and this encoder leaves one place of {size} px; "
                "allowed: a ResNet with backbone.output_stride, or a ViT"
            )
        ema = config.codebook == "ema"
        self.to_code = nn.Conv2d(width, config.code_dim, 1)
        self.quantizer = VectorQuantizer(
            config.num_codes,
            config.code_dim,
            decay=config.decay if ema else None,
            revive_below=config.revive_below if ema else 0.0,
        )
        self.decoder = ConvDecoder(config.code_dim, self.side, size, self.encoder.in_channels, config.decoder_width)
        self.prior = CodePrior(config.num_codes, config.prior_dim, config.prior_depth)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, S, S)
        target = self.encoder.normalize(images)
        z = self.to_code(self.encoder.map(images)).to(target)  # z_e (B, D, h, h)
        indices = self.quantizer.nearest(z)  # (B, h, h)
        codes = self.quantizer.look_up(indices).to(z)  # e (B, D, h, h)
        error = F.mse_loss(self.decoder(straight_through(z, codes)).to(target), target)
        total = error + self.config.commitment * F.mse_loss(z, codes.detach())
        if self.config.codebook == "loss":
            total = total + F.mse_loss(codes, z.detach())
        metrics = {"error": error.detach(), "perplexity": perplexity(indices, self.config.num_codes)}
        return Output(total, metrics, memory={"z": z.detach(), "indices": indices})

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Output]:
        output = self.loss(batch, clock)
        yield output
        indices = output.memory["indices"]
        nats = F.cross_entropy(self.prior(indices).float(), indices)
        yield Output(nats, {"prior_nats": nats.detach()}, optimizer="prior")

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        if self.config.codebook == "ema":
            memory = outputs[0].memory
            self.quantizer.update(memory["z"].movedim(1, -1).flatten(0, -2), memory["indices"].flatten())

    def param_groups(self) -> list[ParamGroup]:
        own = OptimizerConfig(name="adamw", lr=self.config.prior_lr, lr_batch=None, weight_decay=0.0)
        return [ParamGroup(self.prior, optimizer="prior", config=own)]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {**self.encoder.stages(images), "z_e": self.to_code(self.encoder.map(images)).mean((2, 3))}

    def decode(self, indices: Tensor) -> Tensor:
        """(B, h, h) -> (B, C, S, S) in [0, 1]."""
        output = self.decoder(self.quantizer.look_up(indices))
        return (output * self.encoder.std + self.encoder.mean).clamp(0, 1)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (image, its reconstruction from codes); 32 samples of the prior, decoded."""
        images = batch.views["global"][0][:8]
        again = self.decode(self.quantizer.nearest(self.to_code(self.encoder.map(images))))
        rows = torch.stack([images, again], dim=1).flatten(0, 1)
        return {"reconstructions": rows, "samples": self.decode(self.prior.sample(32, self.side, self.side))}
