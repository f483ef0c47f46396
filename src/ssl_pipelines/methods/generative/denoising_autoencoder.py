"""Denoising autoencoder: restore the clean image from a corrupted one. Vincent et al., ICML 2008, and JMLR 11, 2010 (not on arXiv).

Errors of all values count, those of corrupted ones `corrupted_weight` times (alpha) and the others `other_weight` times (beta):
1 and 1 in 2008; 1 and 0 is the full emphasis of 2010. A masked value becomes its channel's mean, which is 0 once standardized.
What is evaluated sees clean images.

Differs: trained end to end, with convolutions, where the paper stacks layers of tied sigmoid units one by one; all channels of a pixel
are hit together (`per="pixel"`), since from one color the others are easily guessed; half of the pixels, since the little noise that the
paper uses on digits is smoothed away on photographs. Each is hit by its own chance; in 2008 a fixed number of values is masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.distributed.normal import randn_rows
from ssl_pipelines.methods.base import Clock, Output
from ssl_pipelines.methods.generative.autoencoder import Autoencoder
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.corruption import gaussian, masked, salt_and_pepper

FLIPS = ("masking", "salt_and_pepper")  # hit some values; Gaussian noise hits all
READ_WITH = {
    "fraction": FLIPS,
    "per": FLIPS,
    "corrupted_weight": FLIPS,
    "other_weight": FLIPS,
    "noise_std": ("gaussian",),
}


class DenoisingAutoencoder(Autoencoder):
    class Config(Autoencoder.Config):
        name: Literal["denoising_autoencoder"] = "denoising_autoencoder"  # type: ignore[assignment]
        code_dim: int = Field(default=256, ge=1, le=65536)
        corruption: Literal["masking", "salt_and_pepper", "gaussian"] = "masking"
        """How images are corrupted: `masking` sets values to their channel's mean, `salt_and_pepper` to 0 or 1, `gaussian` adds
        noise to all."""
        fraction: float = Field(default=0.5, gt=0, lt=1)
        """Share nu of the values that are hit, with masking and salt_and_pepper. Raise it where the network only smooths."""
        per: Literal["pixel", "value"] = "pixel"
        """What is hit together: all channels of a pixel, or each value by itself, as in the paper."""
        noise_std: float = Field(default=0.5, gt=0, le=10)
        """Standard deviation of Gaussian noise, in standard deviations of the channel."""
        corrupted_weight: float = Field(default=1.0, ge=0, le=100)
        """Weight alpha of the errors of values that were hit."""
        other_weight: float = Field(default=1.0, ge=0, le=100)
        """Weight beta of the errors of all other values; 0 with `corrupted_weight` 1 is the paper's full emphasis (2010)."""

        @model_validator(mode="after")
        def _of_the_corruption(self) -> Self:
            for key, kinds in READ_WITH.items():
                if self.corruption not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                    found = f"{key}={getattr(self, key)} is read with corruption={' or '.join(kinds)}"
                    raise ValueError(f"{found}; with {self.corruption} it would be ignored")
            if not self.corrupted_weight + self.other_weight:
                raise ValueError("corrupted_weight=0.0 and other_weight=0.0 leave nothing to learn: one above 0 is needed")
            return self

    config: Config
    undercomplete = False  # the noise keeps the identity from being a solution

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, S, S)
        corrupted, hit = self.corrupt(images)
        errors = self.errors(self.reconstruct(corrupted), images)
        weight = torch.where(hit, self.config.corrupted_weight, self.config.other_weight).to(errors)
        return Output((weight * errors).mean(), {"error": errors.detach().mean()})

    def corrupt(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """-> the corrupted images, where they were hit: both (B, C, S, S)."""
        config, (b, c, h, w) = self.config, images.shape
        if config.corruption == "gaussian":
            return gaussian(images, randn_rows(b, c, h, w, device=images.device), config.noise_std * self.encoder.std)
        noise = rand_rows(b, 1 if config.per == "pixel" else c, h, w, device=images.device)
        if config.corruption == "masking":
            return masked(images, noise, config.fraction, self.encoder.mean)
        return salt_and_pepper(images, noise, config.fraction)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (corrupted image, reconstruction, image)."""
        images = batch.views["global"][0][:8]
        corrupted, _ = self.corrupt(images)
        columns = [corrupted.clamp(0, 1), self.to_pixels(self.reconstruct(corrupted)), images]
        return {"reconstructions": torch.stack(columns, dim=1).flatten(0, 1)}
