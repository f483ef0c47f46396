"""The losses that compare two views within a batch, as blocks of configuration: `loss: {name: debiased, positive_prior: 0.1}`.

A block holds what its loss alone reads; `temperature` stands beside it, since nearly all read one. A plain name, `loss: debiased`, is
the block with the paper's values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor, nn

from ssl_pipelines.artifacts import Config
from ssl_pipelines.artifacts.errors import unknown
from ssl_pipelines.losses.align_uniform import align_uniform, alignment, uniformity
from ssl_pipelines.losses.clip import clip
from ssl_pipelines.losses.debiased import debiased
from ssl_pipelines.losses.flat_nce import flat_nce
from ssl_pipelines.losses.hard_negative import hard_negative
from ssl_pipelines.losses.info_nce import symmetric_info_nce
from ssl_pipelines.losses.inva_spread import inva_spread, inva_spread_released
from ssl_pipelines.losses.nt_xent import nt_xent
from ssl_pipelines.losses.triplet import batch_hard_triplet, semi_hard_triplet
from ssl_pipelines.methods.base import ParamGroup
from ssl_pipelines.methods.config import MethodConfig
from ssl_pipelines.networks.temperature import LearntTemperature


class _Block(Config):
    """(B, D), (B, D) of two views -> (). `own_temperature`: the paper's for small images; None: the loss reads none."""

    own_temperature: ClassVar[float | None] = 0.5

    @abstractmethod
    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor: ...

    def metrics(self, z1: Tensor, z2: Tensor, temperature: Any) -> dict[str, Tensor]:
        return {}


class NTXent(_Block):
    name: Literal["nt_xent"] = "nt_xent"

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return nt_xent(z1, z2, temperature)


class InfoNCE(_Block):
    name: Literal["info_nce"] = "info_nce"

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return symmetric_info_nce(z1, z2, temperature)


class CLIP(_Block):
    own_temperature = 0.07  # where learning starts
    name: Literal["clip"] = "clip"
    max_scale: float = Field(default=100, ge=1, le=10_000)
    """Bound on 1 / temperature, the factor of the cosines, which is learnt. The paper takes 100."""

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return clip(z1, z2, temperature)

    def metrics(self, z1: Tensor, z2: Tensor, temperature: Any) -> dict[str, Tensor]:
        return {"temperature": (-temperature).exp()}


class InvaSpread(_Block):
    own_temperature = 0.1
    name: Literal["inva_spread"] = "inva_spread"
    form: Literal["paper", "code"] = "paper"
    """Loss: the paper's equation, or what the authors' code minimizes (all 2B rows, keys without gradient)."""

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return (inva_spread if self.form == "paper" else inva_spread_released)(z1, z2, temperature)


class Triplet(_Block):
    own_temperature = None
    name: Literal["triplet"] = "triplet"
    mining: Literal["semi_hard", "batch_hard"] = "semi_hard"
    """Negative that counts: `semi_hard`, the nearest beyond the positive (Schroff et al. 2015), or `batch_hard`, the nearest of all
    (Hermans et al. 2017)."""
    margin: Annotated[float, Field(ge=0, le=4)] | Literal["soft"] = 0.2
    """Distance by which a negative is to lie further than the positive; `soft` is log(1 + exp(.)) without a margin, with
    mining=batch_hard only."""

    @model_validator(mode="after")
    def _soft_where_there_is_such(self) -> Self:
        if self.margin == "soft" and self.mining != "batch_hard":
            raise ValueError("margin='soft' is a form of mining='batch_hard'; with mining='semi_hard' a number is allowed")
        return self

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        if self.margin == "soft":
            return batch_hard_triplet(z1, z2, 0.0, "softplus")
        return (semi_hard_triplet if self.mining == "semi_hard" else batch_hard_triplet)(z1, z2, self.margin)


class AlignUniform(_Block):
    own_temperature = None
    name: Literal["align_uniform"] = "align_uniform"
    alpha: float = Field(default=2.0, gt=0, le=10)
    """Power of the distance between two views of an image. The paper takes 2."""
    t: float = Field(default=2.0, gt=0, le=100)
    """Width parameter of the Gaussian kernel of uniformity: larger looks at nearer pairs. The paper takes 2."""
    align_weight: float = Field(default=1.0, ge=0, le=100)
    """Weight of alignment: how near two views of an image lie."""
    uniform_weight: float = Field(default=1.0, ge=0, le=100)
    """Weight of uniformity: how evenly all images spread over the sphere. Raise it where the representation collapses."""

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return align_uniform(z1, z2, self.alpha, self.t, self.align_weight, self.uniform_weight)

    def metrics(self, z1: Tensor, z2: Tensor, temperature: Any) -> dict[str, Tensor]:
        return {"alignment": alignment(z1, z2, self.alpha), "uniformity": (uniformity(z1, self.t) + uniformity(z2, self.t)) / 2}


class Debiased(_Block):
    name: Literal["debiased"] = "debiased"
    positive_prior: float = Field(default=0.1, ge=0, lt=1)
    """Chance, 0 to below 1, that two images are of one class, for which the negatives are corrected; 0 is NT-Xent. Set it to 1 /
    number of classes."""

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return debiased(z1, z2, temperature, self.positive_prior)


class HardNegative(_Block):
    name: Literal["hard_negative"] = "hard_negative"
    positive_prior: float = Field(default=0.1, ge=0, lt=1)
    """Chance, 0 to below 1, that two images are of one class, for which the negatives are corrected. Set it to 1 / number of
    classes."""
    beta: float = Field(default=1.0, ge=0, le=100)
    """Exponent by which nearer negatives weigh more; 0 weighs all alike, which is the debiased loss. The authors' code takes 1."""

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return hard_negative(z1, z2, temperature, self.positive_prior, self.beta)


class FlatNCE(_Block):
    name: Literal["flat_nce"] = "flat_nce"

    def __call__(self, z1: Tensor, z2: Tensor, temperature: Any) -> Tensor:
        return flat_nce(z1, z2, temperature)

    def metrics(self, z1: Tensor, z2: Tensor, temperature: Any) -> dict[str, Tensor]:
        return {"nt_xent": nt_xent(z1, z2, temperature)}  # the loss itself is 1


_Blocks = NTXent | InfoNCE | CLIP | InvaSpread | Triplet | AlignUniform | Debiased | HardNegative | FlatNCE
NAMES = [block.model_fields["name"].default for block in get_args(_Blocks)]


def _block_of(value: Any) -> Any:
    """A name is a block with defaults; a block without a name is the default loss's."""
    if isinstance(value, Mapping):
        value = {"name": "nt_xent", **value}
    elif isinstance(value, str):
        value = {"name": value}
    if isinstance(value, dict) and value["name"] not in NAMES:
        raise ValueError(str(unknown("name", value["name"], NAMES)))
    return value


PairLoss = Annotated[_Blocks, Field(discriminator="name"), BeforeValidator(_block_of)]


class PairConfig(MethodConfig):
    """The block of a method that compares two views within a batch by any of the losses above."""

    chosen_first = ("loss",)

    temperature: float | None = Field(default=0.5, gt=0, le=10)
    """Temperature of the cosines; where another loss is named, its own paper's, and null for losses that read none. Lower it to
    weigh near negatives more."""
    loss: PairLoss = NTXent()
    """Loss that compares the two views; a plain name takes that loss's own defaults. Change it to compare losses with all else
    equal."""

    @model_validator(mode="before")
    @classmethod
    def _temperature_of_the_loss(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "temperature" in values or "loss" not in values:
            return values
        loss = values["loss"]
        name = loss if isinstance(loss, str) else loss.get("name") if isinstance(loss, Mapping) else getattr(loss, "name", None)
        own = {block.model_fields["name"].default: block.own_temperature for block in get_args(_Blocks)}
        return values | ({"temperature": own[name]} if name in own else {})

    @model_validator(mode="after")
    def _temperature_is_read(self) -> Self:
        if self.loss.own_temperature is None and self.temperature is not None:
            raise ValueError(f"temperature={self.temperature} would be ignored: loss={self.loss.name} reads none; allowed is null")
        if self.loss.own_temperature is not None and self.temperature is None:
            raise ValueError(f"temperature=None: loss={self.loss.name} needs a number above 0")
        return self


class PairCriterion(nn.Module):
    """The loss that a config names, with what it learns itself: CLIP's temperature.   (B, D), (B, D) of two views -> ()."""

    def __init__(self, config: PairConfig):
        super().__init__()
        self.block, self.temperature = config.loss, config.temperature
        self.learnt = None
        if isinstance(self.block, CLIP):
            assert config.temperature is not None
            self.learnt = LearntTemperature(config.temperature, self.block.max_scale)

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        return self.block(z1, z2, self.learnt() if self.learnt else self.temperature)

    @torch.no_grad()
    def metrics(self, z1: Tensor, z2: Tensor) -> dict[str, Tensor]:
        return self.block.metrics(z1, z2, self.learnt() if self.learnt else self.temperature)

    def after_step(self) -> None:
        if self.learnt:
            self.learnt.clamp()

    def param_groups(self) -> list[ParamGroup]:
        """CLIP's temperature learns at a hundredth of the rate: it is an exponent with gradients as large as the scale, and would
        jump at the network's rate."""
        return [ParamGroup(self.learnt, lr_factor=0.01)] if self.learnt else []
