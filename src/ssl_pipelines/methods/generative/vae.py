"""VAE: a code drawn from an inferred Gaussian explains the image; a bound on its likelihood is maximized. Kingma & Welling, ICLR 2014,
arXiv:1312.6114; a weight beta on the divergence: Higgins et al., ICLR 2017.

-E_q log p(x|z) + beta KL(q(z|x) || N(0, I)), summed over pixels and latents, averaged over images, one draw z = mu + sigma eps an image.
p(x|z) is Gaussian around the decoder's output, with one variance for all pixels, learnt, on standardized pixels; or Bernoulli, which is a likelihood
for black-and-white pixels alone. Features are mu, or an earlier stage as validation says; samples are decoded from z ~ N(0, I).

Differs: the run's encoder and upsampling convolutions where the paper has layers of 500 units; Adam for Adagrad; 128 latents suit photographs;
the learnt variance has ten times the learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.distributed.normal import randn_rows
from ssl_pipelines.losses.elbo import bernoulli_nll, gaussian_nll, standard_normal_kl
from ssl_pipelines.methods.base import Clock, Method, Output, ParamGroup, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.conv_decoder import CodeDecoder
from ssl_pipelines.networks.map_shape import map_shape
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

ACTIVE = 0.01  # variance of mu over images above which a latent counts as used. Burda et al. 2016, arXiv:1509.00519


class VAE(Method):
    class Config(MethodConfig):
        name: Literal["vae"] = "vae"
        views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.5))
        latent_dim: int = Field(default=128, ge=1, le=65536)
        """Number of latents of the code."""
        beta: float = Field(default=1.0, ge=0, le=1000)
        """Weight of the divergence from the prior; 1 is the VAE, above 1 the beta-VAE. Lower it where latents go unused."""
        beta_warmup_fraction: float = Field(default=0.0, ge=0, le=1)
        """Share of the run over which that weight rises linearly from 0. Raise it where latents go unused."""
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
        """Distribution of pixels around the decoder's output; `bernoulli` suits black-and-white images alone."""
        variance: float | None = Field(default=None, gt=0, le=100)
        """Variance of standardized pixels around the decoder's output; null learns one for all pixels. With likelihood=gaussian
        only."""
        decoder_width: int = Field(default=32, ge=1, le=1024)
        """Number of the decoder's channels at the image's own side; coarser maps have up to 8 times as many."""

        @model_validator(mode="after")
        def _of_the_likelihood(self) -> Self:
            if self.likelihood != "gaussian" and self.variance is not None:
                raise ValueError(f"variance={self.variance} is read with likelihood='gaussian'; here it would be ignored")
            return self

    config: Config
    log_variance: Tensor
    compares_within_batch = False
    judged_at = "best"
    recipe = Recipe(optimizer=OptimizerConfig(name="adamw", lr=1e-3, lr_batch=None, weight_decay=0.0), batch_size=128)

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.encoder, size = parts.build_encoder(), parts.image_size
        width, side = map_shape(self.encoder, size)
        self.to_posterior = nn.Sequential(nn.Flatten(), nn.Linear(width * side**2, 2 * config.latent_dim))
        self.decoder = CodeDecoder(config.latent_dim, size, self.encoder.in_channels, config.decoder_width)
        self.spread = Spread(config.variance) if config.likelihood == "gaussian" else None

    def loss(self, batch: Batch, clock: Clock) -> Output:
        images = batch.views["global"][0]  # (B, C, S, S)
        mean, log_variance = self.posterior(images)  # (B, Z) each
        noise = randn_rows(*mean.shape, device=images.device).to(mean)
        output = self.decoder(mean + (log_variance / 2).exp() * noise)
        misfit = self.misfit(output, images).flatten(1).sum(1)  # (B,)
        kl = standard_normal_kl(mean, log_variance).sum(1)  # (B,)
        active = (mean.detach().var(0) > ACTIVE).sum().float()
        metrics = {"misfit": misfit.mean().detach(), "kl": kl.mean().detach(), "active_latents": active}
        return Output((misfit + self.beta(clock) * kl).mean(), metrics)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """-> mean and log variance of q(z|x), (B, Z) each."""
        mean, log_variance = self.to_posterior(self.encoder.map(images)).chunk(2, dim=1)
        return mean, log_variance

    def misfit(self, output: Tensor, images: Tensor) -> Tensor:
        """-log p(x|z) of each value in nats, (B, C, S, S)."""
        if self.spread is None:
            return bernoulli_nll(output, images)
        return gaussian_nll(output, self.encoder.normalize(images), self.spread.log_variance)

    def beta(self, clock: Clock) -> float:
        warmup = self.config.beta_warmup_fraction
        return self.config.beta * (min(1.0, clock.fraction / warmup) if warmup else 1.0)

    def param_groups(self) -> list[ParamGroup]:
        if self.spread is None or self.config.variance is not None:
            return []
        # A single number, which would not converge in a short run at the network's rate.
        return [ParamGroup(self.spread, lr_factor=10.0)]

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        return {**self.encoder.stages(images), "mu": self.posterior(images)[0]}

    def to_pixels(self, output: Tensor) -> Tensor:
        """The mean of p(x|z), in [0, 1]."""
        return output.sigmoid() if self.spread is None else (output * self.encoder.std + self.encoder.mean).clamp(0, 1)

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Rows of (image, its reconstruction from mu); 64 samples."""
        images = batch.views["global"][0][:8]
        again = self.to_pixels(self.decoder(self.posterior(images)[0]))
        z = torch.randn(64, self.config.latent_dim, device=images.device).to(images)
        rows = torch.stack([images, again], dim=1).flatten(0, 1)
        return {"reconstructions": rows, "samples": self.to_pixels(self.decoder(z))}


class Spread(nn.Module):
    """The variance of all pixels around the decoder's output, as one number; fixed where it is given."""

    def __init__(self, variance: float | None):
        super().__init__()
        start = torch.tensor(1.0 if variance is None else variance).log()
        self.log_variance = nn.Parameter(start, requires_grad=variance is None)
