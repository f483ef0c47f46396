"""PIC: classify every image as itself, by cosines with one learned vector an image. Cao et al., NeurIPS 2020, arXiv:2006.14618.

One view. Images are drawn from a window that slides over a permutation of the data set, so that one is seen again soon and several times;
the softmax runs over the classes seen most recently. Their weights are rows of one dense parameter: a row outside the softmax has gradient
zero, and the optimizer's momentum and decay move it as the paper's correction of seldom updated weights would (section 3.3).

Differs: window, stride and recent classes are shares of the data set (the paper's, of ImageNet: 131072, 16384 and 65536 images); the
permutation is redrawn after a whole lap, so that every image is seen equally often; the hidden layer is as wide as the encoder;
no blur at 32 px; four times the learning rate suits a short run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ssl_pipelines.artifacts import InputError
from ssl_pipelines.distributed import gather_rows
from ssl_pipelines.methods.base import Clock, Embed, Method, Output, Parts, Sampling
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.plan import SIMCLR_SMALL, ViewPlan, one_view
from ssl_pipelines.views.randomness import generator


def sliding_windows(num_samples: int, window: int, stride: int, start: int, count: int, seed: int) -> Tensor:
    """(count,) rows: draws `start` to `start + count` of an endless list, a pure function of `seed`.

    Window k of a lap is `window` neighbors of the lap's permutation, from k `stride` on and around its end, in random order."""
    parts = []
    for number in range(start // window, -(-(start + count) // window)):
        lap, k = divmod(number, -(-num_samples // stride))
        permutation = torch.randperm(num_samples, generator=generator(seed, "pic/lap", lap))
        inside = torch.randperm(window, generator=generator(seed, "pic/window", number))
        parts.append(permutation[(k * stride + inside) % num_samples])
    return torch.cat(parts)[start % window :][:count]


class PIC(Method):
    class Config(MethodConfig):
        name: Literal["pic"] = "pic"
        views: ViewPlan = one_view(SIMCLR_SMALL)
        temperature: float = Field(default=0.2, gt=0, le=10)
        """Temperature of the cosines. The paper takes 0.2."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding and of an image's class vector. The paper takes 128."""
        window_fraction: float = Field(default=0.1, gt=0, le=1)
        """Share of the images in the sliding window from which a stretch of training draws. Smaller windows show an image again
        sooner."""
        visits: int = Field(default=8, ge=1, le=1000)
        """Number of windows in a row that hold an image, which is seen so often in a lap; the window moves on by its size /
        `visits`."""
        recent_fraction: float = Field(default=0.05, gt=0, le=1)
        """Share of the images whose class vectors, the last seen, stand in the softmax, never fewer than the batch. Lower it to
        save time for large data sets."""

        def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
            if num_samples is None:
                return {}
            if "window_fraction" in given:
                return {"visits": min(self.visits, max(1, int(self.window_fraction * num_samples)))}
            visits = self.visits if "visits" in given else min(self.visits, num_samples)
            if self.window_fraction * num_samples >= visits:
                return {"visits": visits}
            # Percent of the images that make a window of `visits`, rounded up.
            hundredths = math.floor(100 * visits / num_samples) + 1
            return {"visits": visits, "window_fraction": min(1.0, hundredths / 100)}

        def check_data(self, num_samples: int, channels: int) -> None:
            if self.window_fraction * num_samples < self.visits:
                found = f"methods.pic.window_fraction={self.window_fraction} of {num_samples} images"
                raise InputError(
                    f"{found} is a window of fewer than visits={self.visits}: allowed is {self.visits / num_samples:.2g} to 1"
                )

    config: Config
    visited: Tensor
    seed: Tensor
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.12, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        n = parts.num_samples
        self.stride = max(1, int(n * config.window_fraction) // config.visits)
        self.window = self.stride * config.visits
        self.recent = round(n * config.recent_fraction)
        self.encoder, d = parts.build_encoder(), config.projection_dim
        self.projector = nn.Sequential(
            nn.Linear(self.encoder.dim, self.encoder.dim), nn.ReLU(inplace=True), nn.Linear(self.encoder.dim, d)
        )
        self.weight = nn.Parameter(0.01 * torch.randn(n, d))
        self.register_buffer("visited", -torch.arange(1, n + 1))  # the number of an image's last draw; below 0: none yet
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))

    def before_epoch(self, clock: Clock, embed: Embed) -> Sampling:
        n = len(self.weight)
        if clock.epoch == 0:
            self.seed.copy_(torch.randint(2**62, ()))
        return Sampling(ids=sliding_windows(n, self.window, self.stride, clock.epoch * n, n, int(self.seed)))

    def loss(self, batch: Batch, clock: Clock) -> Output:
        [images] = batch.views["global"]
        z = F.normalize(self.projector(self.encoder(images)), dim=1)  # (B, D)
        visited, classes = self.visit(gather_rows(batch.ids))  # (N,), (K,)
        place = torch.empty_like(visited).scatter_(0, classes, torch.arange(len(classes), device=classes.device))  # (N,)
        logits = z @ F.normalize(self.weight[classes], dim=1).T / self.config.temperature  # (B, K)
        return Output(F.cross_entropy(logits, place[batch.ids]), memory={"visited": visited})

    def visit(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """ids of the global batch -> the numbers of all images' last draws (N,), and the K classes drawn last, the batch's among them."""
        number = self.visited.max().clamp(min=-1) + 1 + torch.arange(len(ids), device=ids.device)
        visited = self.visited.scatter_reduce(0, ids, number, "amax")
        return visited, visited.topk(min(len(visited), max(self.recent, len(ids)))).indices

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        self.visited.copy_(outputs[0].memory["visited"])
