"""The interface of every method: one pure loss, and a few hooks, each of which some family of methods needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

from torch import Tensor, nn

from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig, Recipe
from ssl_pipelines.networks.encoder import Encoder
from ssl_pipelines.views.batch import Batch


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the training stands; every schedule is a function of it."""

    step: int
    total_steps: int
    epoch: int  # passes over the data; parts of one in a run that is shorter than the method's `min_epochs`

    @property
    def fraction(self) -> float:
        return self.step / self.total_steps


@dataclass(frozen=True, slots=True)
class Output:
    """loss (); metrics name -> (), logged; memory: detached, what `after_step` must remember; the optimizer that this loss steps."""

    loss: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    optimizer: str = "main"


@dataclass(frozen=True, slots=True)
class ParamGroup:
    """Parameters that are not treated like the rest."""

    module: nn.Module
    optimizer: str = "main"
    config: OptimizerConfig | None = None  # None: the run's
    schedule: Literal["run", "constant"] = "run"
    lr_factor: float = 1.0  # factor on the learning rate that these parameters would have
    frozen_epochs: int = 0  # number of epochs for which their gradients are None
    reset_each_epoch: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the next epoch draws: an ordered list of rows, or weights of all rows (N,)."""

    ids: Tensor | None = None
    weights: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a method is built from. N = number of images that pretraining reads; `batch_size`: of all ranks.

    `build_encoder(channels=None, width=1.0, **changes)`: the run's encoder; `changes` replace keys of the `backbone` block.
    `upstream`: name -> the frozen method (or classifier) of an earlier run, in evaluation mode; empty where a finished model is
    loaded, for only a loss may need them."""

    build_encoder: Callable[..., Encoder]
    num_samples: int
    image_size: int
    batch_size: int
    channels: int  # of the images
    upstream: Mapping[str, nn.Module] = field(default_factory=dict)


class Embed(Protocol):
    """(N, D) of all training images in evaluation mode, on the CPU. `function`: images (B, C, H, W) -> (B, D); None: `encode`."""

    def __call__(self, function: Callable[[Tensor], Tensor] | None = None) -> Tensor: ...


class Method(nn.Module, ABC):
    """A self-supervised method. Evaluation, export and the collapse monitor call `encode`, never an encoder directly.

    `encoders` names the modules that encoder.safetensors holds: all that `encode` uses where it is given no stage. Other stages may
    need method.safetensors too: the code of an autoencoder, mu of a VAE, z_e of a VQ-VAE."""

    Config: ClassVar[type[MethodConfig]]
    recipe: ClassVar[Recipe] = Recipe()
    compares_within_batch: ClassVar[bool] = True  # then gradient accumulation is refused
    encoders: ClassVar[tuple[str, ...]] = ("encoder",)  # what encoder.safetensors holds
    needs: ClassVar[tuple[str, ...]] = ()  # "rgb", or a kind of encoder: refused before data is touched where absent
    judged_at: ClassVar[Literal["final", "best"]] = "final"  # "best": the stage is chosen on validation
    upstream: ClassVar[tuple[str, ...]] = ()  # earlier runs that its loss stands on: `pretrain.upstream.<name>` is to be given
    may_stand_on: ClassVar[tuple[str, ...]] = ()  # the same, but used only where they are given
    upstream_is: ClassVar[Literal["method", "classifier"]] = "method"  # "classifier": a network that the finetune stage has made
    upstream_same_size: ClassVar[bool] = True  # an upstream for images of another size is refused
    min_epochs: int = 1  # a run of fewer passes over the data is cut into so many epochs, each with its `before_epoch`

    encoder: Encoder

    def __init__(self, config: MethodConfig, parts: Parts):
        super().__init__()
        self.config = config
        self.image_size, self._channels = parts.image_size, parts.channels
        # In a mapping, so that they are no submodules: never trained, saved, or asked for when the finished model is loaded.
        self._upstream = dict(parts.upstream)

    @classmethod
    def fitted(cls, config: Any, upstream: Mapping[str, nn.Module]) -> Any:
        """`config` with what it leaves to the upstream filled in, so that the finished model is rebuilt without it.

        Raises InputError, one line, where an upstream does not fit. Before training."""
        return config

    def finished(self, name: str) -> Any:
        """The frozen upstream of that name."""
        return self._upstream[name]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves the upstream models to the method's device and dtype too."""
        for model in self._upstream.values():
            model._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def prepare(self, images: Tensor) -> None:
        """Once, before step 0, on a seeded sample of uint8 images (n, S, S, C): what it learns it keeps in buffers."""

    @abstractmethod
    def loss(self, batch: Batch, clock: Clock) -> Output:
        """Pure: writes no buffer but batch norm's."""

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Output]:
        """At each yield the loop zeroes the gradients, goes back, reduces and steps the named optimizer."""
        yield self.loss(batch, clock)

    def after_step(self, outputs: Sequence[Output], clock: Clock) -> None:
        """Once a step: momentum weights, queue, bank, center."""

    def before_epoch(self, clock: Clock, embed: Embed) -> Sampling | None:
        """Once an epoch. What is kept goes into buffers."""
        return None

    def followers(self) -> list[tuple[nn.Module, nn.Module]]:
        """(copy, original) of the modules that follow others by momentum; they start equal, also where weights are loaded first."""
        return []

    def param_groups(self) -> list[ParamGroup]:
        """The exceptions only."""
        return []

    def encode(self, images: Tensor, stage: str | None = None) -> Tensor:
        """images (B, C, H, W) in [0, 1] -> (B, D)."""
        return self.encoder(images) if stage in (None, "final") else self.stages(images)[stage]

    def finetune_features(self, images: Tensor) -> Tensor:
        """images (B, C, H, W) in [0, 1] -> (B, D'): what a classifier is put on when the whole network is fine-tuned."""
        return self.encode(images)

    def project(self, images: Tensor) -> Tensor | None:
        """images (B, C, H, W) -> (B, D): what the loss compares, here `projector` of `encoder` where a method has one.

        It collapses long before `encode` does, so the collapse monitor measures it too."""
        projector = getattr(self, "projector", None)
        return None if projector is None else projector(self.encoder(images))

    def stages(self, images: Tensor) -> Mapping[str, Tensor]:
        """{name: (B, D_s)}: what the evaluation may choose from."""
        return {"final": self.encode(images)} if self.judged_at == "final" else self.encoder.stages(images)

    @property
    def in_channels(self) -> int:
        """C of the images that `encode` takes."""
        return self._channels

    @property
    def dim(self) -> int:
        """D of `encode`."""
        return self.encoder.dim

    @property
    def pooling(self) -> str:
        return self.encoder.pooling

    def pictures(self, batch: Batch) -> Mapping[str, Tensor]:
        """name -> (n, C, H, W) in [0, 1]."""
        return {}
