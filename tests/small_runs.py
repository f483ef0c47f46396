"""Small pretrainings on the digits, and processes to run them in."""

from __future__ import annotations

import datetime as dt
import multiprocessing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from ssl_pipelines.data import Store
from ssl_pipelines.distributed import all_reduce_mean, average_gradients
from ssl_pipelines.methods.base import Clock, Method
from ssl_pipelines.methods.classifier import Classifier
from ssl_pipelines.methods.config import deep_merge
from ssl_pipelines.methods.first_runs import trained_first
from ssl_pipelines.methods.registry import TABLE, method_class
from ssl_pipelines.networks.config import VITS
from ssl_pipelines.networks.own import OWN
from ssl_pipelines.training.config import RunConfig
from ssl_pipelines.training.feed import Feed
from ssl_pipelines.training.loop import Loop
from ssl_pipelines.training.model import build_method
from ssl_pipelines.training.pretrain import data_facts
from ssl_pipelines.training.runtime import RuntimeConfig
from ssl_pipelines.views import Batch

# A server that has imported everything and computed nothing: its forks start at once and cannot hang.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["torch", "ssl_pipelines.training.launch", "ssl_pipelines.networks.vit", "ssl_pipelines.networks.resnet"]
)


# What is made for tens of thousands of images of 32 px does not fit a few hundred of 16.
FITTING: dict[str, dict[str, Any]] = {
    "amdim": {"views": {"size": 32}},
    "pix_contrast": {"views": {"size": 32}},
    "deepcluster": {"num_clusters": 12},
    "deepcluster_v2": {"num_prototypes": 12},
    "igpt": {"palette": 12, "width": 16, "depth": 2, "heads": 2},
    "made": {"units": 24, "num_masks": 2, "feature_masks": 2},
    "pixelcnn": {"width": 12, "depth": 2, "head_dim": 12, "levels": 16},
    "pixelrnn": {"units": 8, "depth": 1, "head_dim": 12, "levels": 16},
    "swav": {"num_prototypes": 24, "queue_size": 32},
}


def small_config(name: str, **changes: Any) -> RunConfig:
    """The method `name` as its recipe has it, with a thin encoder and 8 steps of 16 images; changes as parameter blocks."""
    own = method_class(name).recipe.backbone.name
    thin = {"depth": 2} if own in VITS else {} if own == OWN else {"width": 0.25}
    values: dict[str, Any] = {
        "method": name,
        "methods": {name: FITTING.get(name, {})},
        "backbone": thin,
        "pretrain": {
            "images_seen": 128,
            "batch_size": 16,
            "upstream": dict.fromkeys(method_class(name).upstream, "given by the test"),
        },
        "seed": 3,
    }
    return RunConfig.resolve(deep_merge(values, changes))


def runtime(**changes: Any) -> RuntimeConfig:
    quiet = {"threads": 1, "accelerator": "cpu", "log_every": 1, "checkpoint_every": 1, "watch_every": 4, "on_collapse": "warn"}
    return RuntimeConfig.of(quiet | changes, "runtime")


def small_method(config: RunConfig, store: Store, seed: int = 3) -> Method:
    upstream = {key: small_upstream(config, store, key) for key in method_class(config.method).upstream}
    if upstream:
        own = method_class(config.method).fitted(config.method_config, upstream)
        config = config.model_copy(update={"method_config": own})
    return build_method(config, data_facts(store), seed, upstream)


def small_upstream(config: RunConfig, store: Store, name: str) -> nn.Module:
    """An untrained teacher of the same backbone (or what would be trained first), as `load_upstream` would give it."""
    first = trained_first(method_class(config.method)).get(name)
    if first is not None:
        return build_method(small_config(first), data_facts(store), 8).requires_grad_(False).eval()
    own = {"name": config.backbone.name, "width": config.backbone.width, "depth": config.backbone.depth}
    wanted = {key: value for key, value in own.items() if value is not None}
    teacher: nn.Module = build_method(small_config("simclr", backbone=wanted), data_facts(store), 8)
    if method_class(config.method).upstream_is == "classifier":
        teacher = Classifier(teacher, 10, 0)  # type: ignore[arg-type]
    return teacher.requires_grad_(False).eval()


def small_loop(config: RunConfig, store_folder: Path) -> Loop:
    """What `pretrain` drives, without its surroundings."""
    store = Store.open(store_folder)
    method, pretrain = small_method(config, store), config.pretrain
    feed = Feed(store, method.config.views, pretrain.batch_size, pretrain.accumulate, config.seed, torch.device("cpu"))
    return Loop(method, feed, pretrain.optimizer, config.total_steps(len(feed.ids)), config.seed, "fp32")


def step_in_double(method: Method, batch: Batch, clock: Clock) -> dict[str, torch.Tensor]:
    """The loss (mean over ranks) and averaged gradients of this rank's part, in float64 so that rounding turns no ReLU."""
    method.double().train()
    doubled = Batch({key: views.double() for key, views in batch.views.items()}, batch.targets, batch.ids)
    torch.manual_seed(0)
    output = method.loss(doubled, clock)
    output.loss.backward()
    average_gradients(method.parameters())
    found = {key: value.grad for key, value in method.named_parameters() if value.grad is not None}
    return found | {"loss": all_reduce_mean(output.loss.detach())}


def method_names() -> list[str]:
    return sorted(TABLE)


def on_ranks(function: Callable[..., Mapping[str, Any]], folder: Path, *arguments: Any, ranks: int = 2) -> list[dict[str, Any]]:
    """What `function(*arguments)` returns on each of `ranks` gloo ranks. The function is one of a module."""
    folder.mkdir(parents=True, exist_ok=True)
    children = [PROCESSES.Process(target=_rank, args=(rank, ranks, folder, function, arguments)) for rank in range(ranks)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
    assert codes == [0] * ranks, f"exit codes {codes}"
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(ranks)]


def _rank(rank: int, ranks: int, folder: Path, function: Callable[..., Mapping[str, Any]], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    limit = dt.timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks, timeout=limit)
    torch.save(dict(function(*arguments)), folder / f"rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def in_process(function: Callable[..., None], *arguments: Any, seconds: float = 120) -> int | None:
    """The exit code of a process that runs `function(*arguments)`; minus the signal that ended it."""
    child = PROCESSES.Process(target=_alone, args=(function, arguments))
    child.start()
    child.join(seconds)
    code = child.exitcode
    child.kill()
    return code


def _alone(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    function(*arguments)
