"""What every method's block of configuration shares. Light: no framework is loaded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ssl_pipelines.artifacts import Config
from ssl_pipelines.networks.config import BackboneConfig
from ssl_pipelines.views.plan import ViewPlan

OPTIMIZER_KEYS = {"momentum": ("sgd", "lars"), "nesterov": ("sgd",), "betas": ("adamw",), "trust": ("lars",)}


class OptimizerConfig(Config):
    """One optimizer and its schedule: linear warm-up, then cosine to `final_lr_fraction` of the peak."""

    name: Literal["sgd", "adamw", "lars"] = "sgd"
    """Optimizer. Change it together with `lr`: AdamW needs far smaller rates than SGD, LARS suits batches of thousands."""
    lr: float = Field(default=0.06, gt=0, le=100)
    """Learning rate at the peak of the schedule, for `lr_batch` images in a batch. Lower it where the loss jumps or becomes NaN,
    raise it where it hardly falls."""
    lr_batch: int | None = Field(default=256, ge=1)
    """Number of images in a batch for which `lr` is meant: the peak is lr * batch_size / lr_batch. Null takes `lr` as it stands."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the last update that is kept in the next one; sgd and lars only."""
    nesterov: bool = False
    """Whether SGD looks ahead along its momentum (Nesterov); sgd only."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's averages of the gradient and of its square; adamw only. Lower the second, as to 0.95, where gradients
    change quickly."""
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    """Weight decay on all weights but biases and norms."""
    weight_decay_end: float | None = Field(default=None, ge=0, le=1)
    """Weight decay at the end, reached from `weight_decay` by a cosine, as in DINO; null keeps it constant."""
    trust: float = Field(default=1e-3, gt=0, le=1)
    """Trust coefficient of LARS: size of an update over the size of its weights; lars only."""
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of the run over which the learning rate rises linearly to its peak. Raise it where training is unstable at first."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Course of the learning rate after the warm-up: `cosine` falls to `final_lr_fraction` of the peak, `constant` stays."""
    final_lr_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the peak learning rate at which the cosine ends."""
    clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradients, to which longer ones are scaled down; null never clips. Set it, as to 1, where the loss
    jumps."""
    clip_per: Literal["all", "tensor"] = "all"
    """What `clip` measures: all gradients together, or each tensor by itself, as DINO does."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={list(self.betas)}: two numbers from 0 to below 1 are allowed")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs momentum above 0")
        for key, names in OPTIMIZER_KEYS.items():
            if self.name not in names and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(
                    f"{key}={getattr(self, key)} is read by {' and '.join(names)}; with name={self.name} it would be ignored"
                )
        return self


class MethodConfig(Config):
    """A method's own block: its hyper-parameters and the views it draws."""

    free_counts: ClassVar[tuple[str, ...]] = ()  # groups of views whose number may be changed: SwAV's "local"

    chosen_first: ClassVar[tuple[str, ...]] = ()  # keys that defaults of others depend on: `loss`, which brings its temperature

    views: ViewPlan
    """Views that the method draws of each image: their number, sizes and random transforms."""

    def trained_on(self, size: int) -> int:
        """px a side of what the encoder is trained on, of views of `size` px: these, or the smaller pieces that a method cuts from them."""
        return size

    def fitting(self, batch_size: int, num_samples: int | None, given: Collection[str]) -> dict[str, Any]:
        """Key -> the value with which a default fits a small run; a default that fits as it is may be named too.

        `num_samples`: training images, None while they are not counted. `given`: the keys that the user chose; the caller keeps those."""
        return {}

    def check_run(self, batch_size: int, backbone: BackboneConfig) -> None:
        """Raises InputError where this cannot work with the run's batch or encoder. Before data is touched."""

    def check_data(self, num_samples: int, channels: int) -> None:
        """Raises InputError where this cannot work with so many training images, or such."""

    def resolved_views(self, store_size: int) -> ViewPlan:
        """The plan with every size filled in. A method may have sizes of its own where the user gives none."""
        return self.views.resolved(store_size)

    @model_validator(mode="after")
    def _views_that_it_draws(self) -> Self:
        own = type(self).model_fields["views"].default
        if not isinstance(own, ViewPlan):
            return self
        for name, group in self.views.groups.items():
            if name not in own.groups:
                raise ValueError(f"views.groups.{name} would be ignored. Allowed: {', '.join(own.groups)}")
            if name not in self.free_counts and group.count != own.groups[name].count:
                raise ValueError(f"views.groups.{name}.count={group.count} is refused: allowed is {own.groups[name].count}")
        return self


def at_most_the_images(own: int, num_samples: int | None) -> int:
    """`own` clusters, prototypes or remembered images; half as many as training images where `own` is more than these."""
    return own if num_samples is None or own <= num_samples else max(2, num_samples // 2)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a method asks of the run where the user has not said: an encoder that suits a small machine, an optimizer, a batch."""

    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(name="resnet_small"))
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 256


def merged(defaults: Config, values: dict[str, Any]) -> dict[str, Any]:
    """The user's values laid over a config's defaults, block by block."""
    return deep_merge(defaults.model_dump(mode="json"), values)


def deep_merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        former = result.get(key)
        result[key] = deep_merge(former, value) if isinstance(former, dict) and isinstance(value, dict) else value
    return result
