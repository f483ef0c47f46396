"""RunConfig: everything that decides what a pretraining computes, resolved and checked before data is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, SerializeAsAny, model_validator

from ssl_pipelines.artifacts import Config, InputError
from ssl_pipelines.artifacts.config import UserPath
from ssl_pipelines.methods.config import MethodConfig, OptimizerConfig
from ssl_pipelines.methods.first_runs import trained_first
from ssl_pipelines.methods.registry import check_views, method_class, method_config, resolved_backbone, resolved_optimizer
from ssl_pipelines.networks.config import BackboneConfig

if TYPE_CHECKING:
    from ssl_pipelines.methods.base import Method

LEAST_IMAGES = 2  # smallest training set: batch norm and contrastive losses need a second image


class PretrainConfig(Config):
    """Budget, batch, optimizer and starting point of a pretraining; either `images_seen` or `epochs` is given."""

    images_seen: int | None = Field(default=None, ge=1)
    """Number of images drawn over the whole training. Give either this or `epochs`, the other null; raise it first where features
    are weak."""
    epochs: float | None = Field(default=None, gt=0)
    """Number of passes over the training images, fractions allowed. Give either this or `images_seen`, the other null."""
    batch_size: int = Field(default=256, ge=2, le=65536)
    """Number of images in a step, over all devices together; null is the method's own. Contrastive methods gain from larger
    batches."""
    accumulate: int = Field(default=1, ge=1, le=1024)
    """Number of parts in which a step's batch is computed one after another, to save memory. Refused for methods that compare
    images within the batch."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the forward pass: `bf16` is faster on GPUs, `fp32` exact; `auto` is bf16 on CUDA, else fp32. Choose fp32
    where the loss becomes NaN."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimizer and schedule; keys that are not given are the method's own."""
    init_from: UserPath | None = None
    """Weights to begin with instead of random ones: a model folder, a .safetensors file, an MLflow run id, models:/name@alias or @alias;
    null begins afresh."""
    upstream: dict[str, UserPath] = Field(default_factory=dict)
    """Name -> model of an earlier run that the method stands on, such as a teacher or a tokenizer: a model folder, an MLflow run id
    or models:/name@alias."""

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.images_seen is None) == (self.epochs is None):
            raise ValueError(f"one of images_seen={self.images_seen} and epochs={self.epochs} is to be given, the other null")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size={self.batch_size} is to be a multiple of accumulate={self.accumulate}")
        if self.batch_size == self.accumulate:
            found = f"batch_size={self.batch_size} with accumulate={self.accumulate} leaves micro-batches of one image"
            raise ValueError(f"{found}, which batch norm cannot normalize; allowed is accumulate up to {self.batch_size // 2}")
        return self


class RunConfig(Config):
    """What a pretraining computes. Two runs with equal configs on equal stores end in equal weights."""

    method: str
    """Name of the method that pretrains; `kedro methods` lists all."""
    method_config: SerializeAsAny[MethodConfig]
    """Options of that method, `methods.<name>` of the parameters, with every default filled in."""
    backbone: BackboneConfig
    """Encoder that is trained, with every default filled in."""
    pretrain: PretrainConfig
    """Budget, batch, optimizer and starting point of the training, with every default filled in."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Number from which all random draws of the run derive. Change it to repeat a run with other draws."""

    @classmethod
    def resolve(cls, parameters: Mapping[str, Any], store_size: int | None = None, num_samples: int | None = None) -> Self:
        """From the parameter tree {method, methods, backbone, pretrain, seed}, with every default filled in. Defaults follow the images'
        size (px) and the number of training images where these are known; what `parameters` gives is kept, or refused.

        Raises InputError, one line, for what is unknown, out of range, or does not fit together, and for fewer than 2 images."""
        if num_samples is not None and num_samples < LEAST_IMAGES:
            found = "is 1 image" if num_samples == 1 else "are 0 images"
            raise InputError(f"there {found} to train on (splits train and unlabeled); at least {LEAST_IMAGES} are needed")
        name = str(parameters.get("method", "simclr"))
        method = method_class(name)
        blocks = _block(parameters, "methods")
        configs = {key: method_config(key, block) for key, block in blocks.items()}  # every block is validated, one is used
        pretrain = _block(parameters, "pretrain")
        optimizer = resolved_optimizer(name, _block(pretrain, "optimizer", "pretrain."))
        pretrain["optimizer"] = optimizer.model_dump(mode="json")
        if pretrain.get("batch_size") is None:
            pretrain["batch_size"] = _fitting_batch(method.recipe.batch_size, num_samples)
        checked = PretrainConfig.of(pretrain, "pretrain")
        if checked.accumulate > 1 and method.compares_within_batch:
            raise InputError(
                f"pretrain.accumulate={checked.accumulate}: method={name!r} compares images within the batch, so parts would change it; allowed is 1"
            )
        _check_names(name, method, checked.upstream)
        seed = _Seed.of({"seed": parameters.get("seed", 0)}, "").seed
        own = configs.get(name) or method_config(name, None)
        own = own.model_copy(update=_fitting(own, blocks.get(name), checked.batch_size, num_samples))
        sizes: list[int] = []
        if store_size:
            plan = own.resolved_views(store_size)
            check_views(name, plan)
            # A group that comes again at another size is for another network: BEiT's tokenizer.
            sizes = [group.size for group in plan.groups.values() if group.size and group.same_as is None]
        backbone = resolved_backbone(name, _block(parameters, "backbone"), sizes, max(map(own.trained_on, sizes), default=None))
        own.check_run(checked.batch_size, backbone)
        return cls(
            method=name,
            method_config=own,
            backbone=backbone,
            pretrain=checked,
            seed=seed,
        )

    def fitted_defaults(self, parameters: Mapping[str, Any]) -> list[str]:
        """Lists "key default -> value" for each default of the run, resolved from `parameters`, that was changed to fit batch or
        images."""
        plain = method_config(self.method, _block(parameters, "methods").get(self.method))
        pairs = {f"methods.{self.method}.{key}": (value, getattr(self.method_config, key)) for key, value in plain}
        if _block(parameters, "pretrain").get("batch_size") is None:
            pairs = {"pretrain.batch_size": (method_class(self.method).recipe.batch_size, self.pretrain.batch_size)} | pairs
        return [f"{key} {own} -> {value}" for key, (own, value) in pairs.items() if own != value]

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `dump`: from the stored, resolved form."""
        body = dict(values)
        body["method_config"] = method_config(str(body["method"]), dict(body["method_config"]))
        return cls.of(body, "")

    def dump(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def total_steps(self, num_samples: int) -> int:
        """Number of steps of `batch_size` images each, rounded up, so that the last step is full too."""
        wanted = self.pretrain.images_seen or round((self.pretrain.epochs or 0) * num_samples)
        return max(1, -(-wanted // self.pretrain.batch_size))


def _fitting_batch(own: int, num_samples: int | None) -> int:
    """The method's own batch size or, where there are fewer images, the largest power of 2 up to their number: it still divides by
    devices."""
    return own if num_samples is None or own <= num_samples else 1 << (num_samples.bit_length() - 1)


def _fitting(own: MethodConfig, given: Mapping[str, Any] | None, batch_size: int, num_samples: int | None) -> dict[str, Any]:
    """The defaults of `own` that fit the run, without the keys that the user gave."""
    fitting = own.fitting(batch_size, num_samples, given or {})
    return {key: value for key, value in fitting.items() if key not in (given or {})}


def _check_names(method: str, cls: type[Method], given: Mapping[str, str]) -> None:
    known, may_lack = (*cls.upstream, *cls.may_stand_on), trained_first(cls)
    for name in given:
        if name not in known:
            allowed = f"Allowed: {', '.join(known)}" if known else f"method={method!r} stands on no earlier run"
            raise InputError(f"pretrain.upstream.{name}={given[name]!r} would be ignored. {allowed}")
    for name in cls.upstream:
        if not given.get(name) and name not in may_lack:
            raise lacks_upstream(method, name)


def lacks_upstream(method: str, name: str) -> InputError:
    return InputError(
        f"method={method!r} stands on an earlier run: give pretrain.upstream.{name}=<a model folder, an MLflow run id, or models:/name@alias>"
    )


def _block(values: Mapping[str, Any], key: str, above: str = "") -> dict[str, Any]:
    found = values.get(key)
    if found is not None and not isinstance(found, Mapping):
        raise InputError(f"{above}{key}={found!r}: a block of keys is expected, such as {above}{key}={{...}}")
    return dict(found or {})


class _Seed(Config):
    """The seed by itself, checked before the run is resolved."""

    seed: int = Field(ge=0, lt=2**31)
    """Number from which all random draws of the run derive. Change it to repeat a run with other draws."""
