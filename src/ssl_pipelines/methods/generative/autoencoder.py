"""Autoencoder: an image through a narrow code and back. Hinton & Salakhutdinov, Science 2006 (not on arXiv).

mean |x - D(E(x))|^2 over pixels and images, x standardized by the data set's channel statistics, so that the loss is the share of the
pixels' variance that is lost; or, for pixels in [0, 1], their cross entropy with a sigmoid output (`error="cross_entropy"`).
`form="convolutional"`: the run's encoder, a linear layer from its last map to the code, upsampling convolutions back.
`form="fully_connected"`: pixels - 512 - 256 - code and back, as 784-512-256-64 on digits; the encoder is its own, `backbone` is not read.

Differs: trained whole, with ReLUs, where the paper starts from stacked Boltzmann machines. The stage is chosen on validation, the code
among them: the last layers of autoencoders are near random in the literature (Zhang et al. 2017, table 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.losses.elbo import bernoulli_nll
from ssl_pipelines.methods.base import Clock, Method, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.conv_decoder import CodeDecoder
from ssl_pipelines.networks.dense import DenseDecoder, DenseEncoder
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

OF_A_FORM = {"hidden_dims": "fully_connected", "decoder_width": "convolutional"}


class Autoencoder(Method):
    class Config(MethodConfig):
        name: Literal["autoencoder"] = "autoencoder"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.5))
        form: Literal["convolutional", "fully_connected"] = "convolutional"
        """Network: convolutions around the run's encoder, or layers of units between pixels and code (`fully_connected`), which
        does not read `backbone`."""
        code_dim: int = Field(default=64, ge=1, le=65536)
        """Width of the code, which an autoencoder without noise needs smaller than the image. Smaller keeps less."""
        hidden_dims: tuple[int, ...] = (512, 256)
        """Widths of the encoder's hidden layers with form=fully_connected; the decoder has them in reverse."""
        decoder_width: int = Field(default=32, ge=1, le=1024)
        """Number of the decoder's channels at the image's own side, with form=convolutional; coarser maps have up to 8 times as
        many."""
        error: Literal["squared", "cross_entropy"] = "squared"
        """What is minimized: the squared error of standardized pixels, or the cross entropy of pixels in [0, 1], which suits
        black-and-white images."""

        @model_validator(mode="after")
        def _of_the_form(self) -> Self:
            for key, form in OF_A_FORM.items():
                if self.form != form and getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key}={getattr(self, key)} is read with form={form!r}; here it would be ignored")
            if not all(1 <= units <= 65536 for units in self.hidden_dims):
                raise ValueError(f"hidden_dims={list(self.hidden_dims)}: numbers from 1 to 65536 are allowed")
            return self

        def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
            if self.form == "fully_connected" and backbone != Autoencoder.recipe.backbone:
                found = f"methods.{self.name}.form='fully_connected' has an encoder of its own"
                raise InputError(f"{found}: the block backbone would be ignored, allowed is backbone.name=auto alone")

    config: Config
    compares_within_batch = False
    judged_at = "best"
    undercomplete: ClassVar[bool] = True  # the code is smaller than the image, else the identity would be learned
    recipe = Recipe(optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=0.0), batch_size=128)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        plain, size, code = parts.build_encoder(), parts.image_size, config.code_dim
        channels, pixels = plain.in_channels, plain.in_channels * size**2
        if self.undercomplete and code >= pixels:
            raise InputError(f"methods.{config.name}.code_dim={code} could hold all {pixels} values of an image: allowed is less")
        if config.form == "fully_connected":
            self.encoder = DenseEncoder(channels, size, [*config.hidden_dims, code])
            self.encoder.set_statistics(plain.mean.flatten().tolist(), plain.std.flatten().tolist())
            self.to_code: nn.Module = nn.Flatten()
            self.decoder: nn.Module = DenseDecoder([code, *config.hidden_dims[::-1]], size, channels)
        else:
            self.encoder = plain
            width, side = map_shape(plain, size)
            self.to_code = nn.Sequential(nn.Flatten(), nn.Linear(width * side**2, code))
            self.decoder = CodeDecoder(code, size, channels, config.decoder_width)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, S, S)
        return Output(self.errors(self.reconstruct(images), images).mean())

    def code(self, images: Tensor) -> Tensor:
        """-> (B, code_dim)."""
        out: Tensor = self.to_code(self.encoder.map(images))
        return out

    def reconstruct(self, images: Tensor) -> Tensor:
        """-> (B, C, S, S): standardized pixels, or logits of pixels."""
        out: Tensor = self.decoder(self.code(images))
        return out

    def errors(self, output: Tensor, images: Tensor) -> Tensor:
        """Of each value, (B, C, S, S)."""
        if self.config.error == "cross_entropy":
            return bernoulli_nll(output, images)
        target = self.encoder.normalize(images)
        return F.mse_loss(output.to(target), target, reduction="none")

    def to_pixels(self, output: Tensor) -> Tensor:
        """-> [0, 1]."""
        if self.config.error == "cross_entropy":
            return output.sigmoid()
        return (output * self.encoder.std + self.encoder.mean).clamp(0, 1)

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {**self.encoder.stages(images), "code": self.code(images)}

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (image, reconstruction)."""
        images = batch.views["global"][0][:8]
        return {"reconstructions": torch.stack([images, self.to_pixels(self.reconstruct(images))], dim=1).flatten(0, 1)}
