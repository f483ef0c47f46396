"""Image GPT: a transformer reads an image as a sequence of palette colors and predicts them.

Chen et al., ICML 2020, PMLR 119:1691-1703 (no arXiv id).

Colors are the nearest of a palette, by k-means over pixels of training images. "autoregressive": color i from those before it, mean of
-log p over places. "bert": each place is hidden with probability 0.15, zeros in place of its color, and the hidden ones are predicted:
the mean over them in each image, then over images, as the authors' code has it. What is evaluated is the mean over places after the norm
of a middle block; BERT features, too, come from masked inputs, averaged over a few fixed masks.
Differs: 16 px, 128 colors and 6 blocks of width 96, for a short run, where the paper has 32 px or more, 512 colors and 24 blocks of 512;
batches of 16 with clipped gradients (128); fine-tuning reads the last block's mean, without the generative loss beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.algorithms.kmeans import kmeans
from ssl_pipelines.distributed import rand_rows
from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.likelihood import LikelihoodConfig, LikelihoodMethod, own_recipe
from ssl_pipelines.networks.image_gpt import Cache, ImageGPT
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plain import plain_view

SHOWN = 8  # images
PALETTE_PIXELS, PALETTE_ITERATIONS = 65_536, 20
EVALUATION_MASKS = 4  # BERT


class IGPT(LikelihoodMethod):
    class Config(LikelihoodConfig):
        name: Literal["igpt"] = "igpt"
        objective: Literal["autoregressive", "bert"] = "autoregressive"
        """What is predicted: each color from those before it (`autoregressive`), or hidden colors from all others (`bert`)."""
        mask_fraction: float = Field(default=0.15, gt=0, lt=1)
        """Share of the places that are hidden, with objective=bert. The paper takes 0.15."""
        palette: int = Field(default=128, ge=2, le=4096)
        """Number of palette colors that pixels are rounded to. The paper takes 512."""
        width: int = Field(default=96, ge=8, le=2048)
        """Width of the transformer."""
        depth: int = Field(default=6, ge=1, le=48)
        """Number of the transformer's blocks."""
        heads: Literal[1, 2, 4, 8, 16] = 4
        """Number of attention heads; it divides `width`."""

        @model_validator(mode="after")
        def _usable(self) -> Self:
            if self.width % self.heads:
                raise ValueError(f"heads={self.heads} is to divide width={self.width}")
            if self.objective != "bert" and self.mask_fraction != type(self).model_fields["mask_fraction"].default:
                raise ValueError(
                    f"mask_fraction={self.mask_fraction} is BERT's; with objective={self.objective} it would be ignored"
                )
            return self

    config: Config
    encoder: ImageGPT
    unit = "bits_per_token"
    recipe = own_recipe(2e-3, 16, betas=(0.9, 0.95))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        places, causal = parts.image_size**2, config.objective == "autoregressive"
        self.encoder = ImageGPT(self.channels, config.width, config.depth, config.heads, places, config.palette, causal=causal)
        self.head = nn.Linear(config.width, config.palette, bias=False)
        nn.init.zeros_(self.head.weight)

    def prepare(self, images: Tensor) -> None:
        """The palette: k-means over pixels of the sample at the network's size, colors on [-1, 1]. One that came with weights stays."""
        if self.encoder.learnt:
            return
        pixels = (
            self.encoder.normalize(plain_view(images.to(self.encoder.mean.device), self.image_size)).movedim(1, 3).flatten(0, 2)
        )
        random = torch.Generator().manual_seed(0)
        drawn = torch.randperm(len(pixels), generator=random)[:PALETTE_PIXELS].to(pixels.device)
        self.encoder.palette.copy_(kmeans(pixels[drawn], self.config.palette, PALETTE_ITERATIONS, random)[0])
        self.encoder.learnt.fill_(True)

    def loss(self, batch: Batch, clock: Clock) -> Output:
        tokens = self.encoder.tokens(batch.views["global"][0])
        if self.config.objective == "autoregressive":
            nats = -self.log_prob(tokens).mean() / tokens.shape[1]
        else:
            mask = (rand_rows(*tokens.shape, device=tokens.device) < self.config.mask_fraction).to(self.head.weight)
            each = -self.log_probs(tokens, mask) * mask
            nats = (each.sum(1) / mask.sum(1).clamp(min=1)).mean()
        return Output(nats, metrics={"bits_per_token": nats.detach() / math.log(2)})

    def log_probs(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T) -> log p of each place's token, (B, T)."""
        logits = self.head(self.encoder.last(tokens, mask))
        return -F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")

    def log_prob(self, tokens: Tensor) -> Tensor:
        return self.log_probs(tokens).sum(1)

    def log_likelihood(self, images: Tensor) -> Tensor | None:
        return self.log_prob(self.encoder.tokens(images)) if self.config.objective == "autoregressive" else None

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        if self.config.objective == "autoregressive":
            return self.encoder.stages(images)
        tokens = self.encoder.tokens(images)
        shares = torch.rand(EVALUATION_MASKS, tokens.shape[1], generator=torch.Generator().manual_seed(0)).to(tokens.device)
        by_mask = [self.encoder.features(tokens, hidden) for hidden in (shares < self.config.mask_fraction).unsqueeze(1)]
        return self.encoder.named([torch.stack(each).mean(0) for each in zip(*by_mask, strict=True)])

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        return self.stages(images)[self.encoder.middle if stage in (None, "final") else stage]

    def finetune_features(self, images: Tensor) -> Tensor:
        return list(self.stages(images).values())[-1]

    def symbols(self, images: Tensor) -> Tensor:
        return self.encoder.tokens(images).unsqueeze(1)

    @property
    def num_symbols(self) -> int:
        return self.config.palette

    def coded(self) -> str:
        return (
            f"a pixel as one of {self.config.palette} palette colors, {self.image_size} px: not comparable with bits per dimension"
        )

    @torch.no_grad()
    def sample(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Draws the places from `first` on, given those before: (n, T) -> the same, completed. Each place is computed once."""
        tokens = tokens.clone()
        caches: list[Cache] | None = None
        for place in range(tokens.shape[1]):
            x, caches = self.encoder.step(tokens[:, place - 1] if place else None, place, caches, len(tokens))
            if place >= first:
                tokens[:, place] = torch.distributions.Categorical(logits=self.head(x)).sample()
        return tokens

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """Drawn images and rows of (upper half, what the model makes of it, original); BERT: rows of (masked, filled, original)."""
        images = batch.views["global"][0][:SHOWN]
        tokens, size = self.encoder.tokens(images), self.image_size
        original = self.encoder.to_pixels(tokens, size)
        if self.config.objective == "bert":
            hidden = torch.rand(tokens.shape, device=tokens.device) < self.config.mask_fraction
            guess = self.head(self.encoder.last(tokens, hidden)).argmax(2)
            filled = self.encoder.to_pixels(torch.where(hidden, guess, tokens), size)
            masked = torch.where(hidden.view(-1, 1, size, size), 0.5, original)
            return {"reconstructions": torch.stack([masked, filled, original], dim=1).flatten(0, 1)}
        half = size // 2
        upper = original.clone()
        upper[:, :, half:] = 0.5
        completed = self.encoder.to_pixels(self.sample(tokens, half * size), size)
        return {
            "samples": self.encoder.to_pixels(self.sample(tokens), size),
            "completions": torch.stack([upper, completed, original], dim=1).flatten(0, 1),
        }
