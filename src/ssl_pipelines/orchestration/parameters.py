"""The parameter tree, checked as a whole before data is touched: unknown keys and values out of range are refused in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from ssl_pipelines.artifacts import Config, InputError
from ssl_pipelines.artifacts.config import unknown_key
from ssl_pipelines.data.config import DatasetConfig
from ssl_pipelines.methods.config import deep_merge
from ssl_pipelines.methods.first_runs import FirstRuns
from ssl_pipelines.methods.registry import method_class
from ssl_pipelines.orchestration.models.named import place_of
from ssl_pipelines.orchestration.models.promote_config import PromoteConfig
from ssl_pipelines.orchestration.paths import home_root
from ssl_pipelines.orchestration.stages import RUN, RUN_KEYS, RUNTIME, project_stages
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.runtime import RuntimeConfig


@runtime_checkable
class Sized(Protocol):
    """A block that leaves what it does not say of images to the size of `dataset`."""

    def sized(self, size: int) -> Config: ...


PATHS = ("root", "labels")  # of the dataset block
T = TypeVar("T", bound=Config)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Every block, typed. `run` is what pretraining computes."""

    run: RunConfig
    blocks: Mapping[str, Config]
    given_paths: Mapping[str, str | None]  # as the user wrote them: fingerprints are to hold in another checkout
    given_upstream: Mapping[str, str]  # the same: what an upstream is counts, not how it was named
    first: Mapping[str, Parameters] = field(default_factory=dict)  # upstream that was not given -> the run that is trained first
    source: Mapping[str, Any] = field(default_factory=dict)  # the raw tree: what the user and the configuration files gave

    @classmethod
    def of(cls, tree: Mapping[str, Any], num_samples: int | None = None) -> Self:
        """`num_samples`: training images, where they are known; defaults of the run fit them then.

        Raises InputError, one line, for a key or value that is refused."""
        known = project_stages().blocks
        for key in tree:
            if key not in known and key not in RUN_KEYS:
                raise unknown_key(str(key), [*known, *RUN_KEYS])
        blocks = {key: model.of(tree.get(key), key) for key, model in known.items()}
        dataset = blocks["dataset"]
        assert isinstance(dataset, DatasetConfig)
        given = {key: getattr(dataset, key) for key in PATHS}
        blocks["dataset"] = dataset.model_copy(update={key: _absolute(path) for key, path in given.items()})
        blocks |= {key: block.sized(dataset.size) for key, block in blocks.items() if isinstance(block, Sized)}
        promote = blocks["promote"]
        assert isinstance(promote, PromoteConfig)
        run = RunConfig.resolve({key: tree[key] for key in RUN_KEYS if key in tree}, dataset.size, num_samples)
        named, source = dict(run.pretrain.upstream), run.pretrain.init_from
        found = {
            "upstream": {name: place_of(value, promote.name) for name, value in named.items()},
            "init_from": place_of(source, promote.name) if source else source,
        }
        run = run.model_copy(update={"pretrain": run.pretrain.model_copy(update=found)})
        _fits(dataset, run)
        first = {name: cls.of(values, num_samples) for name, values in _first_runs(tree, dataset, run)}
        return cls(run, blocks, given, named, first, tree)

    def for_images(self, num_samples: int) -> Parameters:
        """The same, where what nobody gave fits `num_samples` training images. Raises InputError for fewer than 2."""
        return Parameters.of(self.source, num_samples)

    @property
    def runtime(self) -> RuntimeConfig:
        return self.block(RUNTIME, RuntimeConfig)

    def block(self, key: str, kind: type[T]) -> T:
        found = self.blocks[key]
        assert isinstance(found, kind)
        return found

    def read_by(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """The part of the tree that a stage reads, resolved. "run" stands for all that pretraining computes."""
        parts: dict[str, Any] = {}
        for key in keys:
            if key == RUN:
                body = self.run.dump()
                parts |= {"method": body["method"], "methods": {body["method"]: body["method_config"]}, "seed": body["seed"]}
                parts |= {"backbone": body["backbone"], "pretrain": body["pretrain"] | {"upstream": sorted(self.given_upstream)}}
            elif key == "seed":
                parts["seed"] = self.run.seed
            else:
                parts[key] = self.blocks[key].model_dump(mode="json") | (dict(self.given_paths) if key == "dataset" else {})
        return parts

    def tree(self) -> dict[str, Any]:
        """All of it, for the log."""
        stages = project_stages()
        tree = self.read_by((RUN, *(key for key in stages.blocks if key not in stages or stages[key].artifact)))
        return tree | {"pretrain": tree["pretrain"] | {"upstream": dict(self.given_upstream)}}


def _first_runs(tree: Mapping[str, Any], dataset: DatasetConfig, run: RunConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parameters of what is trained first: the same data, seed and images drawn, its own recipe, and `methods.<its name>`."""
    cls, size = method_class(run.method), run.method_config.resolved_views(dataset.size).size
    assert size is not None
    if not issubclass(cls, FirstRuns):
        return
    for name, method in cls.trained_first.items():
        if not run.pretrain.upstream.get(name):
            budget = {key: getattr(run.pretrain, key) for key in ("images_seen", "epochs", "precision")}
            fitting = cls.first_run(name, run.method_config, run.backbone, size)
            own = {"method": method, "backbone": {}, "pretrain": budget}
            yield name, dict(tree) | deep_merge(own, fitting)


def _absolute(path: str | None) -> str | None:
    return str(home_root() / path) if path else path


def _fits(dataset: DatasetConfig, run: RunConfig) -> None:
    """What can be said of method, encoder and image size before there are images."""
    from ssl_pipelines.networks.build import check_backbone

    for name in run.method_config.views.fields:
        if name not in dataset.fields:
            raise InputError(f"methods.{run.method}.views.backgrounds needs dataset.fields=[{name}]")
    size = run.method_config.views.resolved(dataset.size).size
    assert size is not None
    if size > dataset.size:
        raise InputError(
            f"methods.{run.method}.views.size={size} is larger than dataset.size={dataset.size}; enlarging shows nothing new"
        )
    check_backbone(run.backbone, size)
