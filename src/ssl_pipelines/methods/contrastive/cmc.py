"""CMC: what the lightness of an image says must agree with what its color says. Tian et al., ECCV 2020, arXiv:1906.05849.

One crop is split into modalities of L*a*b*, each with an encoder of its own; an embedding of one picks its image out of the memory
bank of another (NCE with a constant normalizer per pair), for every ordered pair: the paper's full graph. What is evaluated is the
encoders' features side by side, so it is as many times wider than one encoder's as there are modalities.
Differs: a ResNet per modality at the run's full width, as the authors do for ResNets; 4,096 negatives as in their released weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from ssl_pipelines.losses.nce import nce_of_first_normalizer
from ssl_pipelines.methods.base import Clock, Output, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.methods.towers import TowersMethod
from ssl_pipelines.networks.bank import MemoryBank, bank_negatives, check_negatives
from ssl_pipelines.views.batch import Batch
from ssl_pipelines.views.lab import rgb_to_lab
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

CHANNELS = {"L": [0], "a": [1], "b": [2], "ab": [1, 2]}
MIDDLE, HALF_RANGE = (50.0, 6.025, -6.690), (50.0, 92.208, 101.168)  # of L, a, b over sRGB (authors' code)


class CMC(TowersMethod):
    class Config(MethodConfig):
        name: Literal["cmc"] = "cmc"
        views: ViewPlan = one_view(ViewRecipe(scale=(0.2, 1.0), flip=0.5))
        modalities: tuple[Literal["L", "a", "b", "ab"], ...] = ("L", "ab")
        """Channels of L*a*b* that each encoder sees, two or three of L, a, b, ab. More modalities make wider features and cost an
        encoder each."""
        projection_dim: int = Field(default=128, ge=2, le=8192)
        """Width of the embedding in which modalities are compared. The paper takes 128."""
        negatives: int | None = Field(default=None, ge=1, le=2**20)
        """Number of rows of the memory bank against each image; null is 4,096, at most as many as there are images."""
        temperature: float = Field(default=0.07, gt=0, le=10)
        """Temperature of the scores. Lower it to weigh near negatives more; the paper takes 0.07."""
        bank_momentum: float = Field(default=0.5, ge=0, lt=1)
        """Share of an image's old row of the memory bank that is kept when it is seen again. The paper takes 0.5."""

        @field_validator("modalities")
        @classmethod
        def _apart(cls, value: tuple[str, ...]) -> tuple[str, ...]:
            read = [channel for name in value for channel in CHANNELS[name]]
            if len(value) < 2 or len(read) != len(set(read)):
                raise ValueError("two or three of L, a, b, ab are allowed, no channel twice")
            return value

        def check_data(self, num_samples: int, channels: int) -> None:
            check_negatives("methods.cmc.negatives", self.negatives, num_samples)

    config: Config
    projectors: Sequence[nn.Linear]
    banks: Sequence[MemoryBank]
    log_z: Tensor
    recipe = Recipe(optimizer=OptimizerConfig(name="sgd", lr=0.06, weight_decay=1e-4))

    def __init__(self, config: Config, parts: Parts):
        super().__init__(config, parts)
        self.num_samples = parts.num_samples
        self.negatives = bank_negatives(config.negatives, parts.num_samples)
        d = config.projection_dim
        towers = [parts.build_encoder(channels=len(CHANNELS[modality])) for modality in config.modalities]
        for tower in towers:
            tower.set_statistics([0.0], [1.0])  # `split` scales already
        self.towers = nn.ModuleList(towers)  # type: ignore[assignment]
        self.projectors = nn.ModuleList(nn.Linear(tower.dim, d) for tower in towers)  # type: ignore[assignment]
        self.banks = nn.ModuleList(MemoryBank(self.num_samples, d, config.bank_momentum) for _ in towers)  # type: ignore[assignment]
        self.pairs = list(permutations(range(len(self.towers)), 2))  # (anchor, bank)
        self.register_buffer("log_z", torch.full((len(self.pairs),), torch.nan))  # log Z of each pair, set by the first batch

    def split(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> a tensor a modality, (B, channels, H, W), about [-1, 1]."""
        lab = rgb_to_lab(images)
        scaled = (lab - lab.new_tensor(MIDDLE).view(-1, 1, 1)) / lab.new_tensor(HALF_RANGE).view(-1, 1, 1)
        return [scaled[:, CHANNELS[modality]] for modality in self.config.modalities]

    def loss(self, batch: Batch, clock: Clock) -> Output:
        parts = self.split(batch.views["global"][0])
        z = [F.normalize(p(t(x)), dim=1) for p, t, x in zip(self.projectors, self.towers, parts, strict=True)]  # each (B, D)
        noise = self.banks[0].draw(len(batch.ids), self.negatives)  # (B, M) ids, the same for all banks
        t, losses, log_z = self.config.temperature, [], []
        for k, (anchor, other) in enumerate(self.pairs):
            positive = self.banks[other].positives(z[anchor], batch.ids)  # (B,)
            negatives = self.banks[other].scores(z[anchor], noise)  # (B, M)
            loss, used = nce_of_first_normalizer(positive, negatives, self.log_z[k], self.num_samples, t)
            losses.append(loss)
            log_z.append(used)
        memory = {"ids": batch.ids, "log_z": torch.stack(log_z)} | {f"z{m}": one.detach() for m, one in enumerate(z)}
        return Output(torch.stack(losses).sum(), memory=memory)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        memory = outputs[0].memory
        self.log_z.copy_(memory["log_z"])
        for m, bank in enumerate(self.banks):
            bank.update(memory["ids"], memory[f"z{m}"])
