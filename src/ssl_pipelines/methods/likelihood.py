"""What methods with an exact likelihood share: pixels as levels, and how probable an image is."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from ssl_pipelines.methods.base import Method, Parts
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.networks.own import OWN
from ssl_pipelines.views.plan import ViewPlan, ViewRecipe, one_view

SIDE = 16  # px: what a short run on a small machine can learn; views.size takes any other


def own_recipe(lr: float, batch_size: int, *, betas: tuple[float, float] = (0.9, 0.999)) -> Recipe:
    """Adam without weight decay, gradients clipped: a likelihood's are steep where a scale is small."""
    optimizer = OptimizerConfig(name="adamw", lr=lr, lr_batch=None, betas=betas, weight_decay=0.0, clip=1.0)
    return Recipe(BackboneConfig(name=OWN), optimizer, batch_size)


class LikelihoodConfig(MethodConfig):
    """Whole images, mirrored or not: any other change of the views would change the density that is learnt."""

    views: ViewPlan = one_view(ViewRecipe(crop="none", flip=0.5))

    def resolved_views(self, store_size: int) -> ViewPlan:
        return self.views.resolved(min(store_size, SIDE))


class LevelsConfig(LikelihoodConfig):
    levels: int = Field(default=256, ge=2, le=256)
    """Number of levels of a channel: the 256 values of a byte in so many equal parts. Fewer are easier to learn and show less."""


class LikelihoodMethod(Method):
    """A method with an exact likelihood. Its network depends on the order of pixels, so it brings its own; `symbols` says what is
    coded, `log_likelihood` how well."""

    judged_at = "best"
    compares_within_batch = False
    needs: ClassVar[tuple[str, ...]] = (OWN,)
    unit: ClassVar[str] = "bits_per_dim"  # of a symbol

    def __init__(self, config: MethodConfig, parts: Parts):
        super().__init__(config, parts)
        self.channels = parts.build_encoder().in_channels

    @abstractmethod
    def log_likelihood(self, images: Tensor) -> Tensor | None:
        """(B, C, H, W) in [0, 1] -> log p of each image's symbols in nats, (B,); None where the objective is no likelihood."""

    @abstractmethod
    def symbols(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, G, n) int64 in [0, num_symbols): what is coded, by groups of one kind (colors)."""

    @property
    @abstractmethod
    def num_symbols(self) -> int: ...

    @abstractmethod
    def coded(self) -> str:
        """What a symbol is, in words."""


def to_levels(images: Tensor, levels: int) -> Tensor:
    """(...) in [0, 1] -> int64 in [0, levels): bytes, then as many equal parts of their range."""
    return (images * 255).round().long() * levels // 256


def from_levels(symbols: Tensor, levels: int, like: Tensor) -> Tensor:
    """int64 in [0, levels) -> [0, 1], in the type of `like`."""
    return symbols.to(like) / (levels - 1)
